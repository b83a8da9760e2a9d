//! `cargo xtask setup`: what the machine lacks, installed once. The other commands call it by themselves.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{self, on_path, root, say, tools};

/// The clients that Slipway is tested with.
const TRUSS: [&str; 3] = ["truss==0.18.35", "baseten==0.13.1", "grpcio==1.85.3"];
/// What asks the management API everything that its description permits.
const SCHEMATHESIS: [&str; 1] = ["schemathesis==4.32.5"];
/// What checks everything that is built in.
const CARGO_DENY: &str = "0.20.2";

#[derive(clap::Args)]
pub struct Setup {
    /// Also what the tests need: a browser, Postgres, bubblewrap, Node's packages, the truss client.
    #[arg(long)]
    pub tests: bool,
}

impl Setup {
    pub fn run(&self) -> Result<()> {
        for_building()?;
        for_running()?;
        if self.tests {
            for_testing()?;
        }
        say("everything is in place");
        Ok(())
    }
}

/// The compiler's target for the browser.
pub fn for_building() -> Result<()> {
    let sysroot = shell::output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(root()))?;
    if Path::new(sysroot.trim()).join("lib/rustlib/wasm32-unknown-unknown").is_dir() {
        return Ok(());
    }
    if on_path("rustup").is_none() {
        bail!(
            "the compiler in {} has no target wasm32-unknown-unknown, and there is no rustup to add it; \
             install the target with whatever installed rustc",
            sysroot.trim()
        );
    }
    say("adding the compiler's target wasm32-unknown-unknown");
    shell::run(Command::new("rustup").args(["target", "add", "wasm32-unknown-unknown"]).current_dir(root()))
}

/// `uv`, which builds the models' Python environments.
pub fn for_running() -> Result<PathBuf> {
    let ours = tools().join("uv/bin/uv");
    if let Some(found) = on_path("uv").or_else(|| ours.is_file().then_some(ours.clone())) {
        return Ok(found);
    }
    let Some(python) = on_path("python3") else {
        bail!(
            "models need Python 3.9 or later, and there is no python3 on PATH; on Debian: apt-get install python3"
        );
    };
    if shell::output(Command::new(&python).args(["-m", "pip", "--version"])).is_err() {
        debian(&["python3-pip"]).context("installing uv, which builds the models' environments")?;
    }
    say("installing uv into target/tools/uv");
    let folder = tools().join("uv");
    // A target folder needs neither root nor a virtual environment, and works where the system's Python is sealed.
    shell::run(
        Command::new(python).args(["-m", "pip", "install", "--quiet", "--target"]).arg(&folder).arg("uv"),
    )
    .context("installing uv with pip; on Debian, pip is the package python3-pip; or install uv yourself")?;
    Ok(ours)
}

/// A browser, Postgres, bubblewrap, valgrind, Node with its packages, and the clients that push models.
pub fn for_testing() -> Result<()> {
    let mut missing = Vec::new();
    if chromium().is_none() {
        missing.push("chromium");
    }
    if postgres().is_none() {
        missing.push("postgresql");
    }
    if on_path("valgrind").is_none() {
        missing.push("valgrind");
    }
    if on_path("bwrap").is_none() {
        missing.push("bubblewrap");
    }
    if on_path("node").is_none() || on_path("npm").is_none() {
        missing.extend(["nodejs", "npm"]);
    }
    debian(&missing)?;
    node_packages()?;
    clients()?;
    schemathesis()?;
    cargo_deny()?;
    Ok(())
}

/// The browser the tests drive.
pub fn chromium() -> Option<PathBuf> {
    env::var_os("CHROMIUM").map(PathBuf::from).or_else(|| on_path("chromium"))
}

/// The folder with Postgres' own programs, which Debian keeps off PATH.
pub fn postgres() -> Option<PathBuf> {
    if let Some(found) = on_path("initdb") {
        return found.canonicalize().ok()?.parent().map(Path::to_path_buf);
    }
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    versions.flatten().map(|version| version.path().join("bin")).find(|bin| bin.join("initdb").is_file())
}

fn debian(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let line = format!("apt-get install --yes --no-install-recommends {}", packages.join(" "));
    let root_user = shell::output(Command::new("id").arg("-u"))?.trim() == "0";
    if !root_user || on_path("apt-get").is_none() {
        bail!("{} missing; on Debian, as root: {line}", packages.join(", "));
    }
    say(format!("installing Debian's {}", packages.join(", ")));
    let quiet = |command: &mut Command| shell::run(command.env("DEBIAN_FRONTEND", "noninteractive"));
    quiet(Command::new("apt-get").args(["update", "-qq"]))?;
    quiet(Command::new("apt-get").args(["install", "-qq", "--yes", "--no-install-recommends"]).args(packages))
}

fn node_packages() -> Result<()> {
    let folder = root().join("end2end");
    let installed = folder.join("node_modules/.package-lock.json");
    let changed = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).ok();
    if changed(&installed).is_some_and(|at| Some(at) >= changed(&folder.join("package-lock.json"))) {
        return Ok(());
    }
    say("installing end2end's Node packages");
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund"]).current_dir(&folder);
    // The browser is the machine's own.
    npm.env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1");
    shell::run(&mut npm)
}

/// The folder with the clients' programs.
pub fn clients() -> Result<PathBuf> {
    python_tools("truss", &TRUSS)
}

/// The program that tests the management API by its own description.
pub fn schemathesis() -> Result<PathBuf> {
    Ok(python_tools("schemathesis", &SCHEMATHESIS)?.join("schemathesis"))
}

/// The program that checks licenses, sources and known weaknesses of what is built in.
pub fn cargo_deny() -> Result<PathBuf> {
    let folder = tools().join("deny");
    let program = folder.join("bin/cargo-deny");
    let stamp = folder.join("installed");
    if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == CARGO_DENY) {
        return Ok(program);
    }
    say(format!("building cargo-deny {CARGO_DENY} into target/tools/deny"));
    let mut cargo = shell::cargo();
    cargo.args([
        "install",
        "--quiet",
        "--debug",
        "--locked",
        "--force",
        "cargo-deny",
        "--version",
        CARGO_DENY,
    ]);
    // It runs for seconds, and is built in a folder that goes with it.
    cargo.env("CARGO_PROFILE_DEV_DEBUG", "0").arg("--root").arg(&folder).env_remove("CARGO_TARGET_DIR");
    shell::run(&mut cargo)?;
    fs::write(&stamp, CARGO_DENY).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(program)
}

/// The folder with the programs of Python packages, which get an environment of their own.
fn python_tools(name: &str, packages: &[&str]) -> Result<PathBuf> {
    let folder = tools().join(name);
    let bin = folder.join("bin");
    let stamp = folder.join("installed");
    // The programs' first lines name this folder, so a cache seen through another path is another installation.
    let wanted = format!("{}\n{}", packages.join("\n"), folder.display());
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(bin);
    }
    let uv = for_running()?;
    say(format!("installing {} into target/tools/{name}", packages.join(" and ")));
    shell::run(Command::new(&uv).args(["venv", "--quiet", "--clear"]).arg(&folder))?;
    shell::run(
        Command::new(&uv)
            .args(["pip", "install", "--quiet", "--python"])
            .arg(bin.join("python"))
            .args(packages),
    )?;
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(bin)
}
