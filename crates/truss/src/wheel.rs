//! The unpacked `truss` package, from which the server's own files come.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A folder that holds the unpacked wheel of the `truss` package.
#[derive(Clone, Debug)]
pub struct Wheel {
    root: PathBuf,
}

impl Wheel {
    /// `root` is where the wheel was unpacked: the folder that holds `truss/`. Fails when a file that is needed is missing.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let wheel = Self { root: root.into() };
        for path in
            [wheel.server().join("main.py"), wheel.shared().join("secrets_resolver.py"), wheel.ignore_path()]
        {
            fs::metadata(&path).map_err(|error| named(&path, &error))?;
        }
        Ok(wheel)
    }

    /// The folder of templates, as [`crate::lay_out`] takes it.
    pub fn templates(&self) -> PathBuf {
        self.root.join("truss/templates")
    }

    /// What the server itself needs: the text of a pip requirements file.
    pub fn requirements(&self) -> io::Result<String> {
        read(&self.server().join("requirements.txt"))
    }

    /// Bounds on the versions of what the server needs, whoever asks for it.
    pub fn constraints(&self) -> io::Result<String> {
        read(&self.server().join("constraints.txt"))
    }

    /// The list of patterns for a Truss without a `.truss_ignore`.
    pub fn default_ignore(&self) -> io::Result<String> {
        read(&self.ignore_path())
    }

    fn server(&self) -> PathBuf {
        self.templates().join("server")
    }

    fn shared(&self) -> PathBuf {
        self.templates().join("shared")
    }

    fn ignore_path(&self) -> PathBuf {
        self.root.join("truss/util/.truss_ignore")
    }
}

fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path).map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    let text =
        format!("`{}` of the truss package can't be read: {error}; unpack the package again", path.display());
    io::Error::new(error.kind(), text)
}
