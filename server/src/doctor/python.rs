//! What builds models' environments: `uv`, and the Python versions a Truss may name.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::process::Command;

use super::Finding;
use crate::config::Config;

const VERSIONS: [&str; 6] = ["3.9", "3.10", "3.11", "3.12", "3.13", "3.14"];

/// Looks for `uv` and for Python.
pub async fn check(config: &Config) -> Vec<Finding> {
    let uv = find_uv(config).await;
    let first = match &uv {
        Some((path, version)) => Finding::ok("uv", format!("{version} ({})", path.display())),
        None => Finding::warn(
            "uv",
            "not found; the first push installs it into the data folder, which needs the network",
            "python3 -m pip install uv",
        ),
    };
    let mut found = Vec::new();
    for version in VERSIONS {
        if has_python(uv.as_ref().map(|(path, _)| path), version).await {
            found.push(version);
        }
    }
    let second = if found.is_empty() {
        Finding::fail(
            "Python",
            format!("none of {} is installed", VERSIONS.join(", ")),
            "uv python install 3.13 (or your system's package for it)",
        )
    } else if found.contains(&"3.13") {
        Finding::ok("Python", found.join(", "))
    } else {
        Finding::warn(
            "Python",
            format!("{} found; a Truss that names no version means 3.13", found.join(", ")),
            format!(
                "uv python install 3.13, or write python_version: py{} into config.yaml",
                found[found.len() - 1].replace('.', "")
            ),
        )
    };
    vec![first, second]
}

async fn find_uv(config: &Config) -> Option<(PathBuf, String)> {
    for path in [PathBuf::from("uv"), config.data_dir.join("uv/venv/bin/uv")] {
        let run = Command::new(&path).arg("--version").stdin(Stdio::null()).output().await;
        if let Ok(output) = run
            && output.status.success()
        {
            return Some((path, String::from_utf8_lossy(&output.stdout).trim().to_owned()));
        }
    }
    None
}

async fn has_python(uv: Option<&PathBuf>, version: &str) -> bool {
    let quiet = |command: &mut Command| {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    };
    if let Some(uv) = uv {
        let mut command = Command::new(uv);
        command.args(["python", "find", "--no-python-downloads", version]);
        quiet(&mut command);
        if command.status().await.is_ok_and(|status| status.success()) {
            return true;
        }
    }
    let mut command = Command::new(format!("python{version}"));
    command.arg("--version");
    quiet(&mut command);
    command.status().await.is_ok_and(|status| status.success())
}
