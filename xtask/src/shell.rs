//! Starting other programs, and saying so.

use std::env;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// The workspace's folder.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Tools that were installed for this workspace alone.
pub fn tools() -> PathBuf {
    root().join("target/tools")
}

/// The cargo that runs us, in the workspace's folder.
pub fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// One line about what is being done.
pub fn say(line: impl AsRef<str>) {
    println!("xtask: {}", line.as_ref());
    let _ = std::io::stdout().flush();
}

/// The first program of that name on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// PATH with our own tools behind what the machine has.
pub fn path() -> Result<OsString> {
    let machine = env::var_os("PATH").unwrap_or_default();
    let ours = [tools().join("uv/bin")];
    Ok(env::join_paths(env::split_paths(&machine).chain(ours))?)
}

/// A command as a person would type it.
pub fn words(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Runs a command to its end; an exit code other than 0 is an error that names it.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting `{}`", words(command)))?;
    ensure!(status.success(), "`{}` failed: {status}", words(command));
    Ok(())
}

/// Runs a command and answers what it wrote to its standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let output = command
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting `{}`", words(command)))?;
    ensure!(output.status.success(), "`{}` failed: {}", words(command), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What a command wrote, and whether it ended well.
pub struct Heard {
    pub text: String,
    pub success: bool,
}

/// Runs a command, shows what it writes as it comes, and keeps it.
pub fn listen(command: &mut Command) -> Result<Heard> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting `{}`", words(command)))?;
    let heard = Arc::new(Mutex::new(String::new()));
    let mut followers = Vec::new();
    if let Some(pipe) = child.stdout.take() {
        followers.push(follow(pipe, heard.clone()));
    }
    if let Some(pipe) = child.stderr.take() {
        followers.push(follow(pipe, heard.clone()));
    }
    let status = child.wait().with_context(|| format!("waiting for `{}`", words(command)))?;
    for follower in followers {
        let _ = follower.join();
    }
    let text = heard.lock().map(|text| text.clone()).unwrap_or_default();
    Ok(Heard { text, success: status.success() })
}

fn follow(pipe: impl Read + Send + 'static, heard: Arc<Mutex<String>>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(read) if read > 0) {
            let text = String::from_utf8_lossy(&line);
            print!("{text}");
            let _ = std::io::stdout().flush();
            if let Ok(mut heard) = heard.lock() {
                heard.push_str(&text);
            }
            line.clear();
        }
    })
}

/// Measures how long a command takes a person who waits for it.
pub struct Stopwatch(Instant);

impl Stopwatch {
    #[allow(clippy::disallowed_methods)] // nothing here runs on paused time
    pub fn start() -> Self {
        Self(Instant::now())
    }

    pub fn passed(&self) -> Duration {
        self.0.elapsed()
    }
}
