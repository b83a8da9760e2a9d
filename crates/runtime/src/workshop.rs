//! What a build sees of the machine: a sandbox as a replica has, but as the server's user, because the cache of packages is
//! that user's.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::files::make_private;
use crate::interpreter;
use crate::sandbox::{Mount, Sandbox, View};

/// Folders of a build, below one that it does not see: nothing can be put in their place while it runs.
pub(crate) const FOLDERS: [&str; 3] = [FILES, "tmp", "home"];
/// The one with lists of what is to be installed.
pub(crate) const FILES: &str = "files";

/// A sandbox for the commands of one build.
pub(crate) struct Workshop {
    pub sandbox: Sandbox,
    /// The environment that is made.
    pub env: PathBuf,
    /// Where its [`FOLDERS`] are.
    pub work: PathBuf,
    /// The unpacked Truss, which is only read unless it is a copy in the environment.
    pub truss: PathBuf,
    pub uv: PathBuf,
}

/// What the server has in its environment and a build has no business with; also without a sandbox.
pub(crate) fn is_ours(name: &OsStr) -> bool {
    name == "DATABASE_URL" || name.as_encoded_bytes().starts_with(b"SLIPWAY_")
}

/// Where `uv` and its packages' builds look for settings, below a person's home.
const SETTINGS: [&str; 2] = [".config/uv", ".netrc"];

impl Workshop {
    pub fn view(&self, folder: &Path) -> io::Result<View> {
        let cache = cache();
        make_private(&cache)?;
        let mut mounts = Vec::new();
        if let Some(home) = home() {
            mounts.push(Mount::write(self.work.join("home")).at(home.clone()));
            mounts.extend(existing(SETTINGS.iter().map(|name| home.join(name))));
        }
        let named =
            ["SSL_CERT_FILE", "SSL_CERT_DIR", "UV_CONFIG_FILE", "NETRC"].iter().filter_map(env::var_os);
        let named =
            named.map(PathBuf::from).filter(|path| path.is_absolute() && !path.starts_with("/etc/ssl"));
        mounts.extend(existing(named.chain(["/etc/uv".into()])));
        mounts.extend(interpreter::noted(&self.env).into_iter().map(Mount::read));
        mounts.extend([Mount::read(&self.uv), Mount::read(&self.truss)]);
        let passwd = self.work.join("passwd");
        std::fs::write(&passwd, passwd_line())?;
        mounts.push(Mount::read(passwd).at("/etc/passwd"));
        mounts.extend([cache, self.work.join(FILES), self.env.clone()].map(Mount::write));
        let (tmp, folder) = (Some(self.work.join("tmp")), folder.to_owned());
        Ok(View { tmp, mounts, folder, environment: environment(), ..View::default() })
    }
}

fn existing(paths: impl Iterator<Item = PathBuf>) -> impl Iterator<Item = Mount> {
    paths.filter(|path| path.exists()).map(Mount::read)
}

/// The server's environment without what is the server's alone.
fn environment() -> Environment {
    let kept = env::vars_os().filter(|(name, _)| !is_ours(name) && name != "VIRTUAL_ENV");
    let mut ours: std::collections::BTreeMap<OsString, OsString> = kept.collect();
    ours.insert("NO_COLOR".into(), "1".into());
    // What `uv` would choose by itself, from its own settings too, might not be what is mounted.
    ours.insert("UV_CACHE_DIR".into(), cache().into());
    // Between what is mounted in two places there are no hard links; and an environment must not share what a build may change.
    ours.entry("UV_LINK_MODE".into()).or_insert("copy".into());
    Environment { ours, ..Environment::default() }
}

/// The server's user, without whom some programs do not start.
fn passwd_line() -> String {
    let id = rustix::process::geteuid().as_raw();
    let home = home().unwrap_or_else(|| "/".into());
    format!("builder:x:{id}:{id}::{}:/bin/sh\n", home.display())
}

fn home() -> Option<PathBuf> {
    env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute() && home != Path::new("/"))
}

/// Where `uv` keeps packages.
fn cache() -> PathBuf {
    let named = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_user =
        || named("XDG_CACHE_HOME").or_else(|| Some(home()?.join(".cache"))).map(|folder| folder.join("uv"));
    named("UV_CACHE_DIR").or_else(of_user).unwrap_or_else(|| env::temp_dir().join("uv-cache"))
}

/// Whether a file is a program by itself, and not a script that needs more than itself.
pub(crate) fn is_program(path: &Path) -> bool {
    let mut magic = [0; 4];
    File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"\x7fELF"
}
