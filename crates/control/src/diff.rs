//! What has changed in the development deployment since a copy of it was made.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use domain::{Action, Actor, Deployment, ModelId};
use similar::{ChangeTag, TextDiff};

use crate::{ControlPlane, Error};

/// The newest copy of the development deployment, and how the slot differs from it now.
#[derive(Debug, Clone, PartialEq)]
pub struct CopyDiff {
    pub copy: Deployment,
    /// By path. At most [`MOST_FILES`].
    pub files: Vec<FileDiff>,
    /// Files beyond those.
    pub more: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    pub path: String,
    pub change: FileChange,
    /// Changed lines with those around them; `None` for what is no text, or too long.
    pub lines: Option<Vec<DiffLine>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChange {
    Added,
    Changed,
    Removed,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiffLine {
    pub tag: LineTag,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineTag {
    Same,
    Added,
    Removed,
    /// Lines were left out here.
    Gap,
}

/// Files shown.
const MOST_FILES: usize = 50;
/// Bytes of a file that are still compared line by line.
const LONGEST_FILE: u64 = 256 * 1024;
/// Lines shown of one file.
const MOST_LINES: usize = 400;
/// Unchanged lines shown around a change.
const AROUND: usize = 3;

impl ControlPlane {
    /// How a model's development deployment differs from the newest copy made of it; nothing if there is no copy.
    pub async fn changes_since_copy(
        &self,
        actor: &Actor,
        model: &ModelId,
    ) -> Result<Option<CopyDiff>, Error> {
        self.may(actor, Action::View)?;
        let state = self.parts.store.load_model(model).await?.filter(|state| !state.deleted);
        let state = state.ok_or_else(|| crate::parts::no_model(model))?;
        let live = || state.deployments.iter().filter(|deployment| deployment.deleted_at.is_none());
        let Some(draft) = live().find(|deployment| deployment.is_development()) else { return Ok(None) };
        let copies = live().filter(|deployment| deployment.copied_from.as_ref() == Some(&draft.id));
        let Some(copy) = copies.max_by_key(|copy| (copy.created_at, copy.id.clone())).cloned() else {
            return Ok(None);
        };
        let artifacts = self.parts.data_dir.join("artifacts");
        let (before, after) =
            (artifacts.join(copy.artifact.as_str()), artifacts.join(draft.proven().artifact.as_str()));
        let compared = tokio::task::spawn_blocking(move || compare(&before, &after))
            .await
            .map_err(|error| Error::Internal(format!("the comparison was interrupted: {error}")))?;
        let mut files =
            compared.map_err(|error| Error::Internal(format!("the code can't be compared: {error}")))?;
        let more = files.len().saturating_sub(MOST_FILES);
        files.truncate(MOST_FILES);
        Ok(Some(CopyDiff { copy, files, more }))
    }
}

fn compare(before: &Path, after: &Path) -> io::Result<Vec<FileDiff>> {
    let mut paths = BTreeSet::new();
    collect(before, "", &mut paths)?;
    collect(after, "", &mut paths)?;
    let mut found = Vec::new();
    for path in paths {
        let (old, new) = (before.join(&path), after.join(&path));
        if let Some(change) = change(&old, &new)? {
            found.push(FileDiff { lines: lines(&old, &new), path, change });
        }
    }
    Ok(found)
}

/// Files below a folder, as paths with `/`.
fn collect(folder: &Path, below: &str, paths: &mut BTreeSet<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{below}{name}/"), paths)?;
        } else if kind.is_file() {
            paths.insert(format!("{below}{name}"));
        }
    }
    Ok(())
}

fn change(old: &Path, new: &Path) -> io::Result<Option<FileChange>> {
    let (before, after) = match (fs::metadata(old), fs::metadata(new)) {
        (Ok(before), Ok(after)) => (before, after),
        (Ok(_), Err(_)) => return Ok(Some(FileChange::Removed)),
        (Err(_), Ok(_)) => return Ok(Some(FileChange::Added)),
        (Err(_), Err(error)) => return Err(error),
    };
    // A change shares the files that stay, so most are the same file and need no reading.
    if (before.dev(), before.ino()) == (after.dev(), after.ino()) {
        return Ok(None);
    }
    let same = before.len() == after.len() && truss::hash::of_file(old)? == truss::hash::of_file(new)?;
    Ok((!same).then_some(FileChange::Changed))
}

/// The text of a file; empty for one that is not there, `None` for what is no text or too long.
fn text(path: &Path) -> Option<String> {
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Some(String::new()),
        Ok(meta) if meta.is_file() && meta.len() <= LONGEST_FILE => {
            fs::read_to_string(path).ok().filter(|text| !text.contains('\0'))
        }
        _ => None,
    }
}

fn lines(before: &Path, after: &Path) -> Option<Vec<DiffLine>> {
    let (before, after) = (text(before)?, text(after)?);
    let diff = TextDiff::from_lines(&before, &after);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(AROUND).iter().enumerate() {
        if index > 0 {
            lines.push(DiffLine { tag: LineTag::Gap, text: String::new() });
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let tag = match change.tag() {
                ChangeTag::Equal => LineTag::Same,
                ChangeTag::Insert => LineTag::Added,
                ChangeTag::Delete => LineTag::Removed,
            };
            lines.push(DiffLine { tag, text: change.value().trim_end_matches(['\n', '\r']).to_owned() });
        }
    }
    if lines.len() > MOST_LINES {
        lines.truncate(MOST_LINES);
        lines.push(DiffLine { tag: LineTag::Gap, text: String::new() });
    }
    Some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_compared_and_lines_are_shown_with_those_around() {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &[u8]| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        for (path, text) in [("a/same", "x"), ("b/same", "x"), ("a/gone", "x\n"), ("b/model/new.py", "n\n")] {
            write(path, text.as_bytes());
        }
        let long: String = (0..40).map(|n| format!("line {n}\n")).collect();
        write("a/model/m.py", long.as_bytes());
        write("b/model/m.py", long.replace("line 20\n", "line twenty\n").as_bytes());
        write("a/bin", &[0, 1]);
        write("b/bin", &[0, 2]);
        let found = compare(&folder.path().join("a"), &folder.path().join("b")).unwrap();
        let told: Vec<_> = found.iter().map(|file| (file.path.as_str(), file.change)).collect();
        assert_eq!(
            told,
            [
                ("bin", FileChange::Changed),
                ("gone", FileChange::Removed),
                ("model/m.py", FileChange::Changed),
                ("model/new.py", FileChange::Added),
            ]
        );
        assert_eq!(found[0].lines, None);
        let lines = found[2].lines.as_ref().unwrap();
        assert_eq!(lines.len(), 2 * AROUND + 2);
        let only =
            |tag| lines.iter().filter(|line| line.tag == tag).map(|l| l.text.as_str()).collect::<Vec<_>>();
        assert_eq!((only(LineTag::Removed), only(LineTag::Added)), (vec!["line 20"], vec!["line twenty"]));
    }
}
