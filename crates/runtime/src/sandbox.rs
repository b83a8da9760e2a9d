//! What a replica sees of the machine, as options of bubblewrap (decision 34).

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, PipeReader, Read, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::devices::{self, Device};
use crate::environment::{Environment, TOKEN};
use crate::isolation::UserIds;

/// Folders of the system that everybody may read.
const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store"];
/// What programs need of the system's settings: names, certificates, libraries, time. Not the rest, which may hold secrets.
const SETTINGS: [&str; 13] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/ssl/certs",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/ca-trust",
    "/var/lib/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/localtime",
    "/etc/OpenCL",
];
/// The processor's layout, which libraries for numbers ask for.
const PROCESSOR: [&str; 1] = ["/sys/devices/system"];

/// Makes sandboxes.
#[derive(Debug, Clone)]
pub(crate) struct Sandbox {
    bwrap: PathBuf,
    user: User,
    readable: Vec<PathBuf>,
    /// The data folder, under each name it has.
    hidden: Vec<PathBuf>,
}

/// Whom a replica runs as.
#[derive(Debug, Clone)]
pub(crate) enum User {
    /// The server's, in a namespace where it is nobody else.
    Servers,
    /// One of its own, which only root can give away.
    Own { setpriv: PathBuf, env: PathBuf, ids: UserIds },
}

/// What a process sees and is given, beyond the system.
#[derive(Debug, Default)]
pub(crate) struct View {
    /// The port of the replica, by which it has its user.
    pub port: u16,
    /// Its `/tmp`; an empty one in memory if there is none.
    pub tmp: Option<PathBuf>,
    /// In their order: what is below comes after.
    pub mounts: Vec<Mount>,
    /// Whether it may use the graphics cards.
    pub cards: bool,
    /// The working folder; `/` if there is none.
    pub folder: PathBuf,
    pub environment: Environment,
}

/// A file or folder, and where it is seen.
#[derive(Debug)]
pub(crate) struct Mount {
    from: PathBuf,
    to: PathBuf,
    writable: bool,
}

impl Mount {
    pub fn read(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { from: path.clone(), to: path, writable: false }
    }

    pub fn write(path: impl Into<PathBuf>) -> Self {
        Self { writable: true, ..Self::read(path) }
    }

    pub fn at(self, to: impl Into<PathBuf>) -> Self {
        Self { to: to.into(), ..self }
    }
}

impl Sandbox {
    pub fn new(bwrap: PathBuf, user: User, readable: Vec<PathBuf>, data_dir: &Path) -> Self {
        let mut hidden = vec![data_dir.to_owned()];
        let real = data_dir.canonicalize().unwrap_or_else(|_| data_dir.to_owned());
        // A link that models may read may lead to it, too.
        hidden.extend(readable.iter().filter_map(|path| {
            let below = real.strip_prefix(path.canonicalize().ok()?).ok()?;
            Some(path.join(below))
        }));
        hidden.push(real);
        hidden.sort_unstable();
        hidden.dedup();
        Self { bwrap, user, readable, hidden }
    }

    /// The user and group that a replica runs as, if they are not the server's.
    pub fn user(&self, port: u16) -> Option<u32> {
        match &self.user {
            User::Servers => None,
            User::Own { ids, .. } => Some(ids.of(port)),
        }
    }

    /// Runs a program that ends at once.
    pub fn try_out(&self) -> Result<(), String> {
        let view = View { port: crate::ports::FIRST, ..View::default() };
        let program = ["/bin/sh", "-c", "exit 0"].map(OsString::from);
        let made = self.command(view, &program).and_then(|(mut command, told)| {
            let child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
            drop(command);
            Ok((group(told), child.wait_with_output()?))
        });
        let (group, output) = made.map_err(|error| format!("`bwrap` could not be started: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        match (output.status.success(), group, said.lines().last()) {
            (true, Ok(_), _) => Ok(()),
            (true, Err(error), _) => Err(error.to_string()),
            (false, _, Some(line)) => Err(line.trim().to_owned()),
            (false, _, None) => Err(format!("`bwrap` ended with {}", output.status)),
        }
    }

    /// A command that starts a program in a sandbox, without input, and what tells the [`group`] of it once the command was
    /// spawned and dropped.
    pub fn command(&self, view: View, program: &[OsString]) -> io::Result<(Command, PipeReader)> {
        let (told, tells) = io::pipe()?;
        let devices = if view.cards { devices::cards() } else { Vec::new() };
        // By a file without a name: the model's settings are nobody's business who may list processes.
        let options = self.options(&view, &devices).written()?;
        let mut command = Command::new(&self.bwrap);
        command.arg("--args").arg(options.as_raw_fd().to_string());
        command.arg("--info-fd").arg(tells.as_raw_fd().to_string()).arg("--");
        if let User::Own { setpriv, env, ids } = &self.user {
            let id = ids.of(view.port).to_string();
            command.arg(setpriv).args(["--reuid", &id, "--regid", &id, "--inh-caps=-all"]);
            match devices::groups(&devices) {
                groups if groups.is_empty() => command.arg("--clear-groups"),
                groups => command.arg("--groups").arg(groups.join(",")),
            };
            let late: Vec<OsString> =
                view.environment.theirs.iter().filter(|(name, _)| loads(name)).map(pair).collect();
            if !late.is_empty() {
                command.arg(env).arg("--").args(late);
            }
        }
        command.args(program).current_dir("/").stdin(Stdio::null()).env_clear();
        // By these the next server knows it. The rest would be bubblewrap's own, outside the sandbox.
        let known = ["HOME", TOKEN].map(|key| Some((key, view.environment.ours.get(OsStr::new(key))?)));
        command.envs(known.into_iter().flatten());
        let inherited = [options, OwnedFd::from(tells)];
        // SAFETY: between fork and exec it changes a flag of two open files, which is safe there, and allocates nothing.
        unsafe {
            command.pre_exec(move || {
                Ok(inherited.iter().try_for_each(|file| fcntl_setfd(file, FdFlags::empty()))?)
            });
        }
        Ok((command, told))
    }

    fn options(&self, view: &View, devices: &[Device]) -> Options {
        let mut all = Options::default();
        // A session of its own is also the process group that signals go to, and that its monitor is not in.
        all.add([
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-cgroup-try",
            "--new-session",
            "--cap-drop",
            "ALL",
        ]);
        match self.user {
            User::Servers => all.add(["--unshare-user"]),
            // To become that user, and to get into its folder before: what it becomes has none of these any more.
            User::Own { .. } => ["CAP_SETUID", "CAP_SETGID", "CAP_DAC_READ_SEARCH"]
                .iter()
                .for_each(|name| all.add(["--cap-add", name])),
        }
        for path in SYSTEM.map(Path::new) {
            match path.read_link() {
                Ok(target) => all.add([OsStr::new("--symlink"), target.as_os_str(), path.as_os_str()]),
                Err(_) => all.read(path),
            }
        }
        let devices_too: &[&str] = if devices.is_empty() { &PROCESSOR } else { &devices::SYSTEM };
        SETTINGS.iter().chain(devices_too).for_each(|path| all.read(Path::new(path)));
        all.add(["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--tmpfs", "/dev/shm"]);
        for device in devices {
            all.mount("--dev-bind-try", &device.path, &device.path);
        }
        for place in ["/tmp", "/var/tmp"].map(Path::new) {
            match &view.tmp {
                Some(folder) => all.mount("--bind", folder, place),
                None => all.empty(place),
            }
        }
        self.readable.iter().for_each(|path| all.read(path));
        self.hidden.iter().filter(|path| self.shows(path)).for_each(|path| all.empty(path));
        for Mount { from, to, writable } in &view.mounts {
            all.mount(if *writable { "--bind" } else { "--ro-bind" }, from, to);
        }
        // Root without capabilities could still write much of `/proc`, because it owns it.
        all.add(["--remount-ro", "/proc", "--remount-ro", "/"]);
        let environment = &view.environment;
        let theirs =
            environment.theirs.iter().filter(|(name, _)| matches!(self.user, User::Servers) || !loads(name));
        for (key, value) in theirs.chain(&environment.ours) {
            all.add([OsStr::new("--setenv"), key, value]);
        }
        let folder = if view.folder.as_os_str().is_empty() { Path::new("/") } else { &view.folder };
        all.add([OsStr::new("--chdir"), folder.as_os_str()]);
        all
    }

    /// Whether a folder is below something that everybody sees.
    fn shows(&self, folder: &Path) -> bool {
        let seen = SYSTEM.iter().map(Path::new).chain(self.readable.iter().map(PathBuf::as_path));
        seen.into_iter().any(|above| folder.starts_with(above))
    }
}

/// Each ends with a zero byte, as `--args` wants them.
#[derive(Default)]
struct Options {
    bytes: Vec<u8>,
    /// The folders that lead to what is mounted.
    folders: BTreeSet<PathBuf>,
    /// A word has a zero byte in it, and would be several.
    torn: bool,
}

impl Options {
    fn add<const N: usize>(&mut self, words: [impl AsRef<OsStr>; N]) {
        for word in words {
            self.torn |= word.as_ref().as_bytes().contains(&0);
            self.bytes.extend_from_slice(word.as_ref().as_bytes());
            self.bytes.push(0);
        }
    }

    fn mount(&mut self, how: &str, from: &Path, to: &Path) {
        self.lead(to);
        self.add([OsStr::new(how), from.as_os_str(), to.as_os_str()]);
    }

    fn empty(&mut self, to: &Path) {
        self.lead(to);
        self.add([OsStr::new("--tmpfs"), to.as_os_str()]);
    }

    /// Makes the folders above it, which bubblewrap by itself makes for root only.
    fn lead(&mut self, to: &Path) {
        let above: Vec<&Path> = to.ancestors().skip(1).filter(|path| path.parent().is_some()).collect();
        for folder in above.into_iter().rev() {
            if self.folders.insert(folder.to_owned()) {
                self.add([
                    OsStr::new("--perms"),
                    OsStr::new("0755"),
                    OsStr::new("--dir"),
                    folder.as_os_str(),
                ]);
            }
        }
    }

    /// Nothing, where there is no such file.
    fn read(&mut self, path: &Path) {
        if path.exists() {
            self.mount("--ro-bind-try", path, path);
        }
    }

    /// A file without a name that has them.
    fn written(&self) -> io::Result<OwnedFd> {
        if self.torn {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "a variable or path has a zero byte in it",
            ));
        }
        let mut file = File::from(memfd_create("options", MemfdFlags::CLOEXEC)?);
        file.write_all(&self.bytes)?;
        file.rewind()?;
        Ok(file.into())
    }
}

/// Whether a variable could make `setpriv` load code, or read files, while it still may become anybody: those that the C library
/// ignores in a program with more rights than its caller, and a shell's. Only these are arguments, which others may list.
fn loads(name: &OsStr) -> bool {
    const NAMES: [&str; 14] = [
        "BASH_ENV",
        "ENV",
        "GCONV_PATH",
        "GETCONF_DIR",
        "HOSTALIASES",
        "IFS",
        "LOCALDOMAIN",
        "LOCPATH",
        "NIS_PATH",
        "NLSPATH",
        "OPENSSL_CONF",
        "RESOLV_HOST_CONF",
        "RES_OPTIONS",
        "TZDIR",
    ];
    let name = name.as_bytes();
    ["LD_", "GLIBC_", "MALLOC_", "LIBC_"].iter().any(|prefix| name.starts_with(prefix.as_bytes()))
        || NAMES.iter().any(|known| name == known.as_bytes())
}

fn pair((key, value): (&OsString, &OsString)) -> OsString {
    let mut pair = key.clone();
    pair.push("=");
    pair.push(value);
    pair
}

/// The process group of what runs in a sandbox; an error if the sandbox was not made.
pub(crate) fn group(mut told: PipeReader) -> io::Result<u32> {
    let mut text = String::new();
    told.read_to_string(&mut text)?;
    let told: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let pid =
        told.as_ref().and_then(|told| told.get("child-pid")?.as_u64()).and_then(|pid| pid.try_into().ok());
    pid.ok_or_else(|| io::Error::other("bubblewrap made no sandbox"))
}
