//! Whether replicas can be kept from the rest of the machine: decided once at the start, by trying it.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::ports::{FIRST, PORTS};
use crate::sandbox::{Sandbox, User};

/// How much isolation is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// As much as the machine permits.
    #[default]
    Auto,
    /// All of it, or the server does not start.
    Require,
    /// None.
    Off,
}

/// What is wanted, and what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsolationSettings {
    pub mode: Isolation,
    /// For a server that runs as root: the users that replicas run as. `None` lets them run as the server's.
    pub users: Option<UserIds>,
    /// Files and folders outside the data folder that replicas may read, besides those of the system.
    pub readable: Vec<PathBuf>,
    /// Where programs are looked for, in the form of `PATH`.
    pub path: OsString,
}

impl Default for IsolationSettings {
    fn default() -> Self {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self { mode: Isolation::Auto, users: Some(UserIds::default()), readable: Vec::new(), path }
    }
}

/// The ids of users that replicas run as, one for each port that a replica may get; those of their groups are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UserIds {
    first: u32,
}

impl Default for UserIds {
    /// Beyond what systems and containers give to people and services.
    fn default() -> Self {
        Self { first: 1_900_000_000 }
    }
}

impl UserIds {
    /// Reads `FIRST-LAST`, both included.
    ///
    /// # Errors
    /// If it is no range, has root or reserved ids in it, or too few.
    pub fn parse(text: &str) -> Result<Self, String> {
        let range = text.split_once('-');
        let range = range.and_then(|(first, last)| {
            Some((first.trim().parse::<u32>().ok()?, last.trim().parse::<u32>().ok()?))
        });
        let Some((first, last)) = range else {
            return Err(format!("`{text}` is no range of user ids; write `1900000000-1900009999`"));
        };
        // The highest ones mean "nobody" and "no change" to the kernel.
        if first < 1000 || last > i32::MAX as u32 {
            let text = format!("`{text}` is not within 1000 to {}, where no user of the system is", i32::MAX);
            return Err(text);
        }
        if last < first || last - first < u32::from(PORTS) - 1 {
            return Err(format!("`{text}` has fewer than {PORTS} ids, one for each port of a replica"));
        }
        Ok(Self { first })
    }

    /// The user of the replica on this port.
    pub(crate) fn of(self, port: u16) -> u32 {
        self.first + u32::from(port - FIRST)
    }

    fn sentence(self) -> String {
        format!("{} to {}", self.first, self.first + u32::from(PORTS) - 1)
    }
}

/// What came of the attempt, as sentences without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isolated {
    /// All that was wanted.
    Fully(String),
    /// Less than that; what, and why not.
    Partly(String),
    /// Nothing; and why.
    No(String),
    /// Nothing was wanted.
    Off,
}

impl Isolated {
    /// Why a server that wants it this way does not start; `None` if it may.
    pub fn refusal(&self, mode: Isolation) -> Option<String> {
        let wanting = matches!(self, Self::Partly(_) | Self::No(_)) && mode == Isolation::Require;
        wanting.then(|| format!("`machine.isolation` is `require`, but {self}"))
    }
}

impl fmt::Display for Isolated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rights = "models may read and change what the server's user may, its keys included";
        match self {
            Self::Fully(text) | Self::Partly(text) => f.write_str(text),
            Self::No(reason) => write!(f, "{rights}: {reason}"),
            Self::Off => write!(f, "{rights}, as it is set"),
        }
    }
}

/// The sandboxes that work here.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sandboxes {
    pub replicas: Option<Sandbox>,
    /// As the server's user: what builds share is that user's.
    pub builds: Option<Sandbox>,
    /// Nothing is to run outside of one.
    pub required: bool,
}

/// Tries what is wanted; starts some processes, which end at once. `data_dir` is the folder that is kept from replicas.
pub fn isolation(settings: &IsolationSettings, data_dir: &Path) -> Isolated {
    find(settings, data_dir).1
}

pub(crate) fn find(settings: &IsolationSettings, data_dir: &Path) -> (Sandboxes, Isolated) {
    let (sandboxes, isolated) = try_all(settings, data_dir);
    (Sandboxes { required: settings.mode == Isolation::Require, ..sandboxes }, isolated)
}

fn try_all(settings: &IsolationSettings, data_dir: &Path) -> (Sandboxes, Isolated) {
    let nothing = |why: Isolated| (Sandboxes::default(), why);
    if settings.mode == Isolation::Off {
        return nothing(Isolated::Off);
    }
    let root = rustix::process::geteuid().is_root();
    let Some(bwrap) = on_path("bwrap", &settings.path) else {
        return nothing(Isolated::No("bubblewrap's program `bwrap` is not on PATH".into()));
    };
    if !root && std::fs::metadata(&bwrap).is_ok_and(|meta| meta.mode() & 0o4000 != 0) {
        // The next server could not read of such a process which replica it is.
        let reason =
            format!("{} runs as root for every user (setuid), which is not made use of", bwrap.display());
        return nothing(Isolated::No(reason));
    }
    let sandbox = |user: User| Sandbox::new(bwrap.clone(), user, settings.readable.clone(), data_dir);
    let own = settings.users.filter(|_| root).map(|ids| {
        let sandbox = own_users(ids, &settings.path).and_then(|user| tried(sandbox(user)));
        sandbox.map(|sandbox| (sandbox, ids.sentence()))
    });
    let none = Sandboxes::default();
    match (own, tried(sandbox(User::Servers))) {
        (Some(Ok((own, ids))), Ok(servers)) => {
            let text = format!(
                "each model runs in a sandbox, as a user of its own ({ids}), and so does each build, as root"
            );
            (Sandboxes { replicas: Some(own), builds: Some(servers), ..none }, Isolated::Fully(text))
        }
        (Some(Ok((own, _))), Err(reason)) => {
            let text = format!("models run in sandboxes, as users of their own, but builds do not: {reason}");
            (Sandboxes { replicas: Some(own), builds: None, ..none }, Isolated::Partly(text))
        }
        (Some(Err(reason)), Ok(servers)) => {
            let text =
                format!("models run in sandboxes, but as root and not as users of their own: {reason}");
            (
                Sandboxes { replicas: Some(servers.clone()), builds: Some(servers), ..none },
                Isolated::Partly(text),
            )
        }
        (None, Ok(servers)) => {
            let text = "each model and each build runs in a sandbox".into();
            (
                Sandboxes { replicas: Some(servers.clone()), builds: Some(servers), ..none },
                Isolated::Fully(text),
            )
        }
        (_, Err(reason)) => nothing(Isolated::No(reason)),
    }
}

/// What a server needs to follow processes of other users: CAP_CHOWN, CAP_DAC_READ_SEARCH, CAP_KILL, CAP_SETGID, CAP_SETUID,
/// CAP_SYS_PTRACE. Root in a container may lack some.
const NEEDED: [(u32, &str); 6] =
    [(0, "CHOWN"), (2, "DAC_READ_SEARCH"), (5, "KILL"), (6, "SETGID"), (7, "SETUID"), (19, "SYS_PTRACE")];

fn own_users(ids: UserIds, path: &OsStr) -> Result<User, String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let held =
        status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    let held = held.ok_or("/proc/self/status does not tell what the server may")?;
    let missing: Vec<&str> =
        NEEDED.iter().filter(|(bit, _)| held & (1 << bit) == 0).map(|(_, name)| *name).collect();
    if !missing.is_empty() {
        return Err(format!("the server has no CAP_{}", missing.join(", CAP_")));
    }
    let program = |name: &str| on_path(name, path).ok_or_else(|| format!("`{name}` is not on PATH"));
    Ok(User::Own { setpriv: program("setpriv")?, env: program("env")?, ids })
}

fn tried(sandbox: Sandbox) -> Result<Sandbox, String> {
    sandbox.try_out()?;
    Ok(sandbox)
}

fn on_path(name: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_an_id_for_each_port() {
        let ids = UserIds::parse("50000-59999").unwrap();
        assert_eq!((ids.of(20_000), ids.of(29_999)), (50_000, 59_999));
        for (text, word) in [
            ("50000", "no range"),
            ("0-20000", "within"),
            ("50000-50100", "fewer"),
            ("3000000000-3000010000", "within"),
        ] {
            let told = UserIds::parse(text).unwrap_err();
            assert!(told.contains(word), "{told}");
        }
    }

    #[test]
    fn what_is_missing_or_not_wanted_is_said() {
        let nowhere = IsolationSettings { path: "/nonexistent".into(), ..IsolationSettings::default() };
        let Isolated::No(reason) = isolation(&nowhere, Path::new("/data")) else {
            panic!("nothing is there")
        };
        assert!(reason.contains("bwrap"), "{reason}");
        let off = IsolationSettings { mode: Isolation::Off, ..IsolationSettings::default() };
        assert_eq!(isolation(&off, Path::new("/data")), Isolated::Off);
    }
}
