//! A folder in which a Truss can be started as a process.
//!
//! ```text
//! dest/app/        the working folder: server code (or, for a custom server, all of the Truss)
//!     model/       the model's module
//!     data/        its data; created empty when the Truss has none
//!     config.yaml  the configuration with every default
//! dest/packages/   bundled packages, for PYTHONPATH
//! ```

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::config::{Config, Serves};
use crate::yaml::to_yaml;

/// The working folder of the process, below the destination.
pub const APP: &str = "app";
/// Bundled packages, below the destination.
pub const PACKAGES: &str = "packages";
/// The model's module, below [`APP`].
pub const MODEL: &str = "model";
/// The model's data, below [`APP`].
pub const DATA: &str = "data";

/// The name under which the server imports the package's shared code.
const SHARED: &str = "_truss_shared";

/// Why a Truss could not be laid out.
#[derive(Debug, Error)]
pub enum LayoutError {
    #[error("`{field}: {value}` must be a path inside the Truss, without `..`")]
    Outside { field: &'static str, value: String },
    #[error(
        "the Truss has no folder `{folder}` for its model (`model_module_dir`); add it, or correct the name"
    )]
    NoModel { folder: String },
    #[error("`{path}` is a symbolic link; put a copy of the file in its place")]
    Link { path: PathBuf },
    #[error("`{path}` can't be laid out: {source}")]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Lays out an unpacked Truss below `dest`, which is created. `templates` is [`crate::Wheel::templates`].
///
/// Files are copied, so that a process can't change what others are started from; file systems that can share blocks do.
/// Blocking: run it where blocking is fine.
pub fn lay_out(config: &Config, truss: &Path, templates: &Path, dest: &Path) -> Result<(), LayoutError> {
    let model = inside("model_module_dir", &config.model_module_dir)?;
    let data = inside("data_dir", &config.data_dir)?;
    let packages = inside("bundled_packages_dir", &config.bundled_packages_dir)?;
    let app = dest.join(APP);
    make(&app)?;
    match config.serves() {
        Serves::TrussServer => {
            if !truss.join(&model).is_dir() {
                return Err(LayoutError::NoModel { folder: config.model_module_dir.clone() });
            }
            copy_tree(&templates.join("server"), &app)?;
            copy_tree(&templates.join("shared"), &app.join(SHARED))?;
        }
        Serves::Custom(_) => copy_tree(truss, &app)?,
    }
    for (from, to) in [(model, MODEL), (data, DATA)] {
        let (from, to) = (truss.join(from), app.join(to));
        // For a custom server these may already lie there under the same names.
        if from.is_dir() {
            copy_tree(&from, &to)?;
        }
    }
    make(&app.join(DATA))?;
    make(&dest.join(PACKAGES))?;
    let bundled = truss.join(packages);
    if bundled.is_dir() {
        copy_tree(&bundled, &dest.join(PACKAGES))?;
    }
    write_config(config, dest)
}

/// Copies an unpacked Truss as it is.
pub fn copy(truss: &Path, dest: &Path) -> Result<(), LayoutError> {
    copy_tree(truss, dest)
}

/// Copies the model's module of an unpacked Truss to a folder of its own.
pub fn copy_model(config: &Config, truss: &Path, dest: &Path) -> Result<(), LayoutError> {
    let model = inside("model_module_dir", &config.model_module_dir)?;
    copy_tree(&truss.join(model), dest)
}

/// Writes the configuration that the server reads at its start; again after a change of it.
pub fn write_config(config: &Config, dest: &Path) -> Result<(), LayoutError> {
    let path = dest.join(APP).join("config.yaml");
    fs::write(&path, to_yaml(&config.for_server())).map_err(|source| LayoutError::File { path, source })
}

/// The path of a setting when it stays inside the Truss and names a folder below it.
pub(crate) fn inside(field: &'static str, value: &str) -> Result<PathBuf, LayoutError> {
    let path = Path::new(value);
    let stays = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let clean: PathBuf = path.components().filter(|part| matches!(part, Component::Normal(_))).collect();
    match stays && !clean.as_os_str().is_empty() && !value.contains('\0') {
        true => Ok(clean),
        false => Err(LayoutError::Outside { field, value: value.to_owned() }),
    }
}

fn copy_tree(from: &Path, to: &Path) -> Result<(), LayoutError> {
    make(to)?;
    for item in fs::read_dir(from).map_err(file_error(from))? {
        let item = item.map_err(file_error(from))?;
        let (source, target) = (item.path(), to.join(item.file_name()));
        let kind = item.file_type().map_err(file_error(&source))?;
        if kind.is_symlink() {
            return Err(LayoutError::Link { path: source });
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(file_error(&target))?;
        } else if kind.is_dir() && item.file_name() != "__pycache__" {
            copy_tree(&source, &target)?;
        }
    }
    Ok(())
}

fn make(folder: &Path) -> Result<(), LayoutError> {
    fs::create_dir_all(folder).map_err(file_error(folder))
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> LayoutError {
    let path = path.to_owned();
    |source| LayoutError::File { path, source }
}

#[cfg(test)]
mod tests;
