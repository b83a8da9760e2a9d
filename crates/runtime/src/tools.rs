//! What preparing a model needs: `uv`, the Truss package's server code, a Python of the right version.

use std::ffi::{OsStr, OsString};
use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::fs::Mode;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, umask};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::Mutex;
use truss::Wheel;

use crate::bounds::{Bounds, Held, LACKED_PROCESSES};
use crate::files::{DISK_FULL, Files};
use crate::sandbox;
use crate::strays::BUILD;
use crate::workshop::{Workshop, is_ours};

/// The version of the `truss` package whose server code runs models.
pub const TRUSS_VERSION: &str = "0.18.35";

/// A failure as one sentence.
pub(crate) type Told<T> = Result<T, String>;

/// Bytes of a line that a command prints.
const LONGEST_LINE: u64 = 64 << 10;

/// Takes each line a command prints.
pub(crate) type Lines<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// Finds tools once, and fetches what is missing once.
pub(crate) struct Tools {
    files: Files,
    uv: Mutex<Option<PathBuf>>,
    wheel: Mutex<()>,
}

impl Tools {
    pub fn new(files: Files) -> Self {
        Self { files, uv: Mutex::new(None), wheel: Mutex::new(()) }
    }

    /// `uv`: from PATH, or installed from PyPI into the data folder.
    pub async fn uv(&self, lines: Lines<'_>) -> Told<PathBuf> {
        let mut known = self.uv.lock().await;
        if let Some(path) = known.as_ref() {
            return Ok(path.clone());
        }
        let path = match find_uv(&self.files.uv()).await {
            Some((path, _)) => path,
            None => self.install_uv(lines).await?,
        };
        *known = Some(path.clone());
        Ok(path)
    }

    async fn install_uv(&self, lines: Lines<'_>) -> Told<PathBuf> {
        let env = self.files.uv().join("venv");
        let missing = "`uv` is not on this machine and could not be installed";
        let arguments = [OsStr::new("-m"), OsStr::new("venv"), env.as_os_str()];
        run("python3", arguments, None, self.files.builds(), lines)
            .await
            .map_err(|error| format!("{missing}: {error}; install it with `pip install uv`"))?;
        let pip = env.join("bin/pip");
        run(&pip, ["install", "--quiet", "uv"], None, self.files.builds(), lines)
            .await
            .map_err(|error| format!("{missing}: {error}; install it with `pip install uv`"))?;
        Ok(env.join("bin/uv"))
    }

    /// The Truss package, fetched from PyPI once.
    pub async fn wheel(&self, lines: Lines<'_>) -> Told<Wheel> {
        let _one = self.wheel.lock().await;
        let folder = self.files.wheel();
        if let Ok(wheel) = Wheel::open(&folder) {
            return Ok(wheel);
        }
        let uv = self.uv(lines).await?;
        let fresh = folder.with_extension("new");
        let _ = tokio::fs::remove_dir_all(&fresh).await;
        let package = format!("truss=={TRUSS_VERSION}");
        let mut arguments: Vec<&OsStr> =
            ["pip", "install", "--quiet", "--no-deps", "--no-config"].map(OsStr::new).into();
        // The package is pure Python, so any interpreter's choice of a wheel is the same.
        arguments.extend([
            OsStr::new("--python-version"),
            OsStr::new("3.11"),
            OsStr::new("--target"),
            fresh.as_os_str(),
        ]);
        arguments.push(OsStr::new(&package));
        run(&uv, arguments, None, self.files.builds(), lines).await.map_err(|error| {
            format!("the Truss server code ({package}) could not be fetched from PyPI: {error}")
        })?;
        let _ = tokio::fs::remove_dir_all(&folder).await;
        tokio::fs::rename(&fresh, &folder).await.map_err(|error| {
            format!("the Truss server code could not be put into the data folder: {error}")
        })?;
        Wheel::open(&folder).map_err(|error| format!("the Truss server code is not whole: {error}"))
    }

    /// A Python of this version on this machine; the refusal names those that are there.
    pub async fn python(&self, uv: &Path, version: &str) -> Told<PathBuf> {
        let found = Command::new(uv)
            .args(["python", "find", "--no-project", "--no-python-downloads", "--system", version])
            .arg("--cache-dir")
            .arg(self.files.own_cache())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .map_err(|error| format!("`uv python find` could not be started: {error}"))?;
        let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
        if found.status.success() && !path.is_empty() {
            return Ok(PathBuf::from(path));
        }
        let versions: Vec<String> = pythons(uv).await.into_iter().map(|(version, _)| version).collect();
        let there = match versions.as_slice() {
            [] => "no Python at all".to_owned(),
            some => format!("Python {}", some.join(", ")),
        };
        let line = versions.first().map_or("py311".to_owned(), |version| py(version));
        Err(format!(
            "the model asks for Python {version} and this machine has {there}; write `python_version: {line}` in config.yaml, or install Python {version}"
        ))
    }
}

/// `py311` of `3.11.7`.
fn py(version: &str) -> String {
    let mut parts = version.split('.');
    format!("py{}{}", parts.next().unwrap_or("3"), parts.next().unwrap_or("11"))
}

/// `uv` on PATH or in the data folder, with its version.
pub(crate) async fn find_uv(folder: &Path) -> Option<(PathBuf, String)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join("uv"));
    for candidate in on_path.chain([folder.join("venv/bin/uv")]) {
        if !candidate.is_file() {
            continue;
        }
        let mut asked = Command::new(&candidate);
        asked.arg("--version").stdin(Stdio::null()).kill_on_drop(true);
        if let Ok(answer) = asked.output().await
            && answer.status.success()
        {
            // What it is a link to may not be seen in a sandbox.
            let candidate = candidate.canonicalize().unwrap_or(candidate);
            return Some((candidate, String::from_utf8_lossy(&answer.stdout).trim().to_owned()));
        }
    }
    None
}

/// Pythons on this machine, newest first.
pub(crate) async fn pythons(uv: &Path) -> Vec<(String, PathBuf)> {
    let listed = Command::new(uv)
        .args(["python", "list", "--only-installed", "--no-python-downloads", "--output-format", "json"])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let Ok(listed) = listed else { return Vec::new() };
    let rows: Vec<serde_json::Value> = serde_json::from_slice(&listed.stdout).unwrap_or_default();
    let mut found: Vec<(String, PathBuf)> = rows
        .iter()
        .filter(|row| row["implementation"] == "cpython")
        .filter_map(|row| Some((row["version"].as_str()?.to_owned(), PathBuf::from(row["path"].as_str()?))))
        .collect();
    found.dedup_by(|a, b| a.0 == b.0);
    found
}

/// What a command has to do with builds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Builds<'a> {
    /// The data folder that it builds something in. One that outlives its server is ended by the next, which begins anew what was left
    /// half made. `None` for what may come to its own end.
    pub folder: Option<&'a Path>,
    /// What it is held to. `None` for what runs nobody else's code.
    pub bounds: Option<&'a Bounds>,
}

/// Runs a command and hands on each line it prints; a failure says its last words.
pub(crate) async fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    arguments: impl IntoIterator<Item = A>,
    folder: Option<&Path>,
    builds: Builds<'_>,
    lines: Lines<'_>,
) -> Told<()> {
    let name = name(program.as_ref());
    let mut command = std::process::Command::new(program);
    command.args(arguments).env("NO_COLOR", "1").env_remove("VIRTUAL_ENV");
    // What installs a package may run the package's own code, which has no business with the server's keys.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
        command.env_remove(name);
    }
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    finish(command, None, &name, builds, lines).await
}

/// As [`run`], in a sandbox.
pub(crate) async fn run_in(
    workshop: &Workshop,
    program: &Path,
    arguments: &[OsString],
    folder: &Path,
    builds: Builds<'_>,
    lines: Lines<'_>,
) -> Told<()> {
    let name = name(program.as_os_str());
    let words: Vec<OsString> = std::iter::once(program.into()).chain(arguments.iter().cloned()).collect();
    let made = workshop.view(folder).and_then(|view| workshop.sandbox.command(view, &words));
    let (command, told) =
        made.map_err(|error| format!("a sandbox for `{name}` could not be made: {error}"))?;
    finish(command, Some(told), &name, builds, lines).await
}

fn name(program: &OsStr) -> String {
    Path::new(program).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

async fn finish(
    mut command: std::process::Command,
    told: Option<PipeReader>,
    name: &str,
    builds: Builds<'_>,
    lines: Lines<'_>,
) -> Told<()> {
    if let Some(folder) = builds.folder {
        // All that it starts has it, too, and so has its sandbox.
        command.env(BUILD, folder);
    }
    // The last to go: whatever else the command has left ends then.
    let held = builds.bounds.and_then(|bounds| bounds.hold(builds.folder.is_none()));
    if let Some(held) = &held {
        held.admit(&mut command).map_err(|error| format!("`{name}` could not be started: {error}"))?;
    }
    let mut command = Command::from(command);
    // SAFETY: between fork and exec it makes one system call, which is safe there, and allocates nothing.
    unsafe {
        // Replicas of other users read what is installed; what is private lies in folders that are.
        command.pre_exec(|| {
            umask(Mode::from_raw_mode(0o022));
            Ok(())
        });
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    // Its own group: all it starts ends with it, if it is given up.
    command.process_group(0);
    let mut child = command.spawn().map_err(|error| format!("`{name}` could not be started: {error}"))?;
    drop(command);
    let mut ends = Ends(child.id());
    if let (Some(held), Some(pid)) = (&held, child.id()) {
        held.check(name, pid);
    }
    let _inner = match told {
        // Given up meanwhile, it is ended by whoever hears of it last.
        Some(told) => {
            let inner = tokio::task::spawn_blocking(move || sandbox::group(told).map(Inner)).await;
            inner.ok().and_then(Result::ok)
        }
        None => None,
    };
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let (_, last) = tokio::join!(read_lines(out, lines), read_lines(err, lines));
    let status = child.wait().await.map_err(|error| format!("`{name}` could not be waited for: {error}"))?;
    // From here on its number may be another's.
    ends.0 = None;
    if held.as_ref().is_some_and(Held::lacked_processes) {
        lines(LACKED_PROCESSES);
    }
    if status.success() {
        return Ok(());
    }
    let said = reason(&last);
    if let Some(lacked) = held.as_ref().and_then(Held::lacked_memory) {
        return Err(match said {
            Some(said) => format!("{lacked} ({said})"),
            None => lacked,
        });
    }
    let said = said.unwrap_or_else(|| format!("`{name}` ended with {status}"));
    // A command's own error has no kind, only the system's words.
    let full = last.iter().any(|line| line.contains("No space left on device"));
    Err(if full { format!("{DISK_FULL} ({said})") } else { said })
}

/// Ends the group of a command that was not waited for.
struct Ends(Option<u32>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(group) = self.0.and_then(|group| Pid::from_raw(group as i32)) {
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Ends the group of what runs in a command's sandbox, if it still does; the command itself is only its monitor.
struct Inner(u32);

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(inner) = Pid::from_raw(self.0 as i32) {
            let _ = kill_process_group(inner, Signal::KILL);
            // Also while the sandbox is made, when its first process leads no group yet.
            let _ = kill_process(inner, Signal::KILL);
        }
    }
}

async fn read_lines(source: Option<impl AsyncRead + Unpin>, lines: Lines<'_>) -> Vec<String> {
    let mut last = Vec::new();
    let Some(source) = source else { return last };
    let mut reader = BufReader::new(source);
    let mut bytes = Vec::new();
    // A line without an end is cut, and its rest is the next line.
    while (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
        let line = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
        bytes.clear();
        lines(&line);
        last.push(line);
        if last.len() > 40 {
            last.remove(0);
        }
    }
    last
}

/// What uv says went wrong, drawn from its tree of lines into one sentence.
fn reason(last: &[String]) -> Option<String> {
    let bare = |line: &str| {
        line.trim_start_matches(|c: char| c.is_whitespace() || "×╰─▶├│└".contains(c)).trim().to_owned()
    };
    let start = last.iter().rposition(|line| {
        let line = line.trim_start();
        line.starts_with('×')
            || line.starts_with("bwrap:")
            || line.starts_with("error:")
            || line.starts_with("ERROR:")
    })?;
    let end = last[start..]
        .iter()
        .position(|line| bare(line).starts_with("hint:"))
        .map_or(last.len(), |at| start + at);
    let text: Vec<String> =
        last[start..end].iter().map(|line| bare(line)).filter(|line| !line.is_empty()).collect();
    let text = text.join(" ");
    Some(text.chars().take(500).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;
    use crate::build_time::BuildTime;
    use crate::process::stat;

    fn is_running(pid: u32) -> bool {
        stat(pid).is_ok_and(|fields| fields.first().is_some_and(|state| state != "Z"))
    }

    #[tokio::test]
    async fn what_takes_too_long_is_ended_with_all_it_started() {
        let time = BuildTime::new(Duration::from_secs(3600), "installing requirements (1 of 1)");
        let slow = Mutex::new(None::<u32>);
        let lines = |line: &str| {
            *slow.lock().unwrap() = line.parse().ok();
            // Nothing else is waited for, so the hour is over at once.
            tokio::time::pause();
        };
        let script = ["-c", "sleep 600 & echo $!; wait"];
        let told = time.keep(run("/bin/sh", script, None, Builds::default(), &lines)).await.unwrap_err();
        assert!(told.contains("after 60 minutes while installing requirements (1 of 1)"), "{told}");
        tokio::time::resume();
        let slow: u32 = slow.lock().unwrap().unwrap();
        while is_running(slow) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn what_ends_by_itself_may_leave_something_behind() {
        let slow = Mutex::new(None::<u32>);
        let lines = |line: &str| *slow.lock().unwrap() = line.parse().ok();
        let script = ["-c", "sleep 600 >&- 2>&- & echo $!"];
        run("/bin/sh", script, None, Builds::default(), &lines).await.unwrap();
        let slow: u32 = slow.lock().unwrap().unwrap();
        assert!(is_running(slow));
        let _ = kill_process(Pid::from_raw(slow as i32).unwrap(), Signal::KILL);
    }

    #[test]
    fn uvs_tree_becomes_one_sentence() {
        let lines = [
            "  × No solution found when resolving dependencies:",
            "  ╰─▶ Because nothing was not found in the package registry and you require",
            "      nothing==9.9.9, we can conclude that your requirements are unsatisfiable.",
        ]
        .map(str::to_owned);
        let sentence = reason(&lines).unwrap();
        assert!(
            sentence.starts_with("No solution found when resolving dependencies: Because nothing was"),
            "{sentence}"
        );
        assert!(sentence.contains("nothing==9.9.9"));
    }
}
