//! A changed copy of an unpacked Truss. The one it was made from stays as it is.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};

use super::PatchError;
use super::op::{Action, FileChange, Op};
use crate::config::Config;
use crate::hash::Signature;
use crate::requirements::package_name;
use crate::yaml::to_yaml;

/// What a change comes to.
#[derive(Debug, Clone, PartialEq)]
pub struct Patched {
    pub config: Config,
    /// The text of `config.yaml`.
    pub raw_config: String,
    /// Every step asked for the class to be swapped in the running process.
    pub hot: bool,
}

/// Settings that only a push can change, because they are about more than the model's own process.
const PUSH_ONLY: [&str; 13] = [
    "resources",
    "python_version",
    "system_packages",
    "live_reload",
    "base_image",
    "build",
    "build_commands",
    "docker_server",
    "model_module_dir",
    "model_framework",
    "data_dir",
    "bundled_packages_dir",
    "model_cache",
];

/// The field of a step that says which file it changes.
const PATH: &str = "path";
/// The field of the configuration that names the file with the requirements.
const FILE: &str = "requirements_file";

/// Makes `next`, a changed copy of the Truss in `base` whose configuration is `config`.
///
/// `signature` is the state the client says the change leads to; files that the change writes are held against it. Files
/// that stay are shared between the two folders, so nothing may write to them in place. On failure `next` may be there
/// and is the caller's to remove. Blocking.
pub fn apply(
    base: &Path,
    next: &Path,
    config: &Config,
    ops: &[Op],
    signature: &Signature,
) -> Result<Patched, PatchError> {
    if ops.is_empty() {
        return Err(PatchError::Refused("the change has no steps".into()));
    }
    let after = changed_config(config, ops)?;
    refuse_push_only(config, &after)?;
    share_tree(base, next)?;
    for op in ops {
        match op {
            Op::ModelCode { file, .. } => write(next, &config.model_module_dir, file, signature)?,
            Op::Package { file } => write(next, &config.bundled_packages_dir, file, signature)?,
            _ => {}
        }
    }
    requirements_file(base, next, &after, ops)?;
    // What the person wrote, if it says the same; else what was sent.
    let written = Config::from_yaml(&signature.config).is_ok_and(|written| written.full() == after.full());
    let raw_config = if written { signature.config.clone() } else { to_yaml(&after.full()) };
    replace(&next.join("config.yaml"), PATH, "config.yaml", raw_config.as_bytes())?;
    let hot = ops.iter().all(|op| matches!(op, Op::ModelCode { hot: true, .. }));
    Ok(Patched { config: after, raw_config, hot })
}

fn changed_config(config: &Config, ops: &[Op]) -> Result<Config, PatchError> {
    let given = ops.iter().rev().find_map(|op| match op {
        Op::Config { config } => Some(config.clone()),
        _ => None,
    });
    let whole = given.is_some();
    let mut full = given.unwrap_or_else(|| config.full());
    let Some(map) = full.as_object_mut() else {
        return Err(PatchError::Refused("the configuration is no mapping".into()));
    };
    for op in ops {
        match op {
            Op::Variable { name, value } => set_variable(map, name, value.as_deref()),
            Op::ExternalData { action, item } if !whole => set_item(map, *action, item),
            Op::Requirement { action, line } if !whole && config.requirements_file.is_none() => {
                set_requirement(map, *action, line);
            }
            _ => {}
        }
    }
    Config::from_json(&full).map_err(|error| PatchError::Refused(error.to_string()))
}

fn set_variable(config: &mut Map<String, Value>, name: &str, value: Option<&str>) {
    let variables = config.entry("environment_variables").or_insert_with(|| Value::Object(Map::new()));
    let Some(variables) = variables.as_object_mut() else { return };
    match value {
        Some(value) => drop(variables.insert(name.to_owned(), value.into())),
        None => drop(variables.remove(name)),
    }
}

fn set_item(config: &mut Map<String, Value>, action: Action, item: &Value) {
    let items = config.entry("external_data").or_insert(Value::Null);
    if items.is_null() {
        *items = Value::Array(Vec::new());
    }
    let Some(items) = items.as_array_mut() else { return };
    let place = item.get("local_data_path").cloned();
    items.retain(|known| known.get("local_data_path").cloned() != place);
    if action != Action::Remove {
        items.push(item.clone());
    }
}

fn set_requirement(config: &mut Map<String, Value>, action: Action, line: &str) {
    let lines = config.entry("requirements").or_insert_with(|| Value::Array(Vec::new()));
    let Some(lines) = lines.as_array_mut() else { return };
    let mut texts: Vec<String> = lines.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    change_line(&mut texts, action, line);
    *lines = texts.into_iter().map(Value::String).collect();
}

/// Adds, replaces or removes the line of a package.
fn change_line(lines: &mut Vec<String>, action: Action, line: &str) {
    let name = package_name(line);
    let same = |other: &String| other == line || (name.is_some() && package_name(other) == name);
    let place = lines.iter().position(same);
    match (action, place) {
        (Action::Remove, _) => lines.retain(|other| !same(other)),
        (_, Some(place)) => lines[place] = line.to_owned(),
        (_, None) => lines.push(line.to_owned()),
    }
}

fn refuse_push_only(before: &Config, after: &Config) -> Result<(), PatchError> {
    let (before, after) = (before.full(), after.full());
    match PUSH_ONLY.iter().find(|field| before.get(**field) != after.get(**field)) {
        None => Ok(()),
        Some(field) => {
            Err(PatchError::NeedsPush(format!("`{field}` of config.yaml can't be changed in place")))
        }
    }
}

/// Brings the requirements file to where the steps lead.
fn requirements_file(base: &Path, next: &Path, after: &Config, ops: &[Op]) -> Result<(), PatchError> {
    let steps: Vec<(Action, &str)> = ops
        .iter()
        .filter_map(|op| match op {
            Op::Requirement { action, line } => Some((*action, line.as_str())),
            _ => None,
        })
        .collect();
    let Some(file) = after.requirements_file.as_deref().filter(|_| !steps.is_empty()) else { return Ok(()) };
    let path = inside(FILE, file)?;
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if matches!(name, "pyproject.toml" | "uv.lock") {
        return Err(PatchError::NeedsPush(format!("`{file}` can't be changed in place")));
    }
    let before = match fs::read_to_string(base.join(&path)) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(failure(FILE, file, source)),
    };
    let mut lines: Vec<String> = before.lines().map(str::to_owned).collect();
    for (action, line) in steps {
        change_line(&mut lines, action, line);
    }
    replace(&next.join(&path), FILE, file, (lines.join("\n") + "\n").as_bytes())
}

/// Writes or removes a file below a folder of the Truss.
fn write(next: &Path, folder: &str, file: &FileChange, signature: &Signature) -> Result<(), PatchError> {
    let relative = format!("{}/{}", folder.trim_matches('/'), file.path);
    let path = next.join(inside(PATH, folder)?).join(inside(PATH, &file.path)?);
    let Some(content) = &file.content else { return remove(&path, PATH, &relative) };
    let promised = signature.content_hashes_by_path.get(&relative).cloned().flatten();
    if promised.is_some_and(|promised| promised != blake3::hash(content).to_hex().to_string()) {
        return Err(PatchError::Refused(format!(
            "the content of `{relative}` is not what the change says it is; save the file again"
        )));
    }
    replace(&path, PATH, &relative, content)
}

/// A new file in the old one's place: the old one may be shared. `field` is where its `name` was given.
fn replace(path: &Path, field: &str, name: &str, content: &[u8]) -> Result<(), PatchError> {
    let failed = |source| failure(field, name, source);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    if path.is_dir() {
        return Err(PatchError::Refused(format!("`{name}` is a folder where the change has a file")));
    }
    remove(path, field, name)?;
    fs::write(path, content).map_err(failed)
}

fn remove(path: &Path, field: &str, name: &str) -> Result<(), PatchError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        // A folder's files may be named after the folder itself.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| failure(field, name, source)),
    }
}

/// What another path would mend is refused; the rest is the disk's.
fn failure(field: &str, name: &str, source: io::Error) -> PatchError {
    use io::ErrorKind::{
        AlreadyExists, InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory,
    };
    match source.kind() {
        AlreadyExists | InvalidData | InvalidFilename | InvalidInput | IsADirectory | NotADirectory => {
            let problem = format!("`{field}: {}` can't be a file of the Truss: {source}", shown(name));
            PatchError::Refused(problem)
        }
        _ => PatchError::File { path: name.to_owned(), source },
    }
}

/// A path as a message can hold it.
fn shown(path: &str) -> String {
    path.chars().take(120).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn inside(field: &str, path: &str) -> Result<PathBuf, PatchError> {
    let parts = Path::new(path).components();
    let stays = parts.clone().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    let clean: PathBuf = parts.filter(|part| matches!(part, Component::Normal(_))).collect();
    if !stays || clean.as_os_str().is_empty() || path.contains('\0') {
        return Err(PatchError::Refused(format!(
            "`{field}: {}` must be a path inside the Truss, without `..`",
            shown(path)
        )));
    }
    Ok(clean)
}

/// A folder with the same files, not copied.
fn share_tree(from: &Path, to: &Path) -> Result<(), PatchError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        |source| PatchError::File { path, source }
    };
    fs::create_dir_all(to).map_err(failed(to))?;
    for item in fs::read_dir(from).map_err(failed(from))? {
        let item = item.map_err(failed(from))?;
        let (source, target) = (item.path(), to.join(item.file_name()));
        let kind = item.file_type().map_err(failed(&source))?;
        if kind.is_dir() {
            share_tree(&source, &target)?;
        } else if kind.is_file() {
            fs::hard_link(&source, &target)
                .or_else(|_| fs::copy(&source, &target).map(drop))
                .map_err(failed(&target))?;
        }
    }
    Ok(())
}
