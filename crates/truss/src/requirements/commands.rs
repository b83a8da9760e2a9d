//! A plan as arguments for `uv`.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{InstallPlan, Step};

/// One call of `uv`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UvCommand {
    pub args: Vec<OsString>,
    /// The working folder.
    pub dir: PathBuf,
}

impl InstallPlan {
    /// The calls that install everything into the environment of `python` (an absolute path). The files they read are
    /// written to `work`, an existing folder; `truss` is the unpacked Truss.
    pub fn uv_commands(&self, truss: &Path, work: &Path, python: &Path) -> io::Result<Vec<UvCommand>> {
        let constraints = work.join("constraints.txt");
        fs::write(&constraints, &self.constraints)?;
        let install = |file: &Path, constrained: bool| {
            let mut args: Vec<OsString> = ["pip", "install", "--python"].map(OsString::from).into();
            args.push(python.into());
            args.extend(["--index-strategy", "unsafe-best-match", "-r"].map(OsString::from));
            args.push(file.into());
            if constrained {
                args.extend(["-c".into(), constraints.clone().into()]);
            }
            if self.no_cache {
                args.push("--no-cache".into());
            }
            UvCommand { args, dir: truss.to_owned() }
        };
        let mut commands = Vec::new();
        for step in &self.steps {
            match step {
                Step::Lines(lines) => {
                    let file = work.join("requirements.txt");
                    fs::write(&file, lines.join("\n") + "\n")?;
                    commands.push(install(&file, true));
                }
                Step::PipFile(path) => commands.push(install(&truss.join(path), true)),
                Step::Pyproject(path) => commands.push(install(&truss.join(path), false)),
                Step::Lock(path) => {
                    let file = work.join("locked.txt");
                    // The project itself is the model, which is no package to install.
                    let export = [
                        "export",
                        "--frozen",
                        "--no-emit-project",
                        "--format",
                        "requirements-txt",
                        "--output-file",
                    ];
                    let mut args: Vec<OsString> = export.map(OsString::from).into();
                    args.push(file.clone().into());
                    let dir = truss.join(path).parent().unwrap_or(truss).to_owned();
                    commands.push(UvCommand { args, dir });
                    commands.push(install(&file, false));
                }
            }
        }
        Ok(commands)
    }
}
