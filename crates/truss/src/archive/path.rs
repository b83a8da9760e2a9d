//! Which paths an archive may name.

use std::path::PathBuf;

use super::ArchiveError;

/// The longest name of one file or folder on the file systems we write to.
const NAME_BYTES: usize = 255;

/// The path below the destination; `None` for the destination itself (`.`, `./`).
pub(super) fn relative(raw: &[u8], longest: usize) -> Result<Option<PathBuf>, ArchiveError> {
    let refuse = |wrong| Err(ArchiveError::Path { path: shown(raw), wrong });
    if raw.len() > longest {
        return refuse("is too long");
    }
    let Ok(text) = std::str::from_utf8(raw) else { return refuse("is not UTF-8") };
    if text.is_empty() {
        return refuse("is empty");
    }
    if text.contains('\0') {
        return refuse("holds a NUL character");
    }
    if text.starts_with('/') {
        return refuse("is absolute");
    }
    let mut path = PathBuf::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return refuse("leads out of the folder"),
            part if part.len() > NAME_BYTES => return refuse("has a name that is too long"),
            part => path.push(part),
        }
    }
    Ok((!path.as_os_str().is_empty()).then_some(path))
}

/// The path as an error shows it: short, and without what could play with a terminal.
pub(super) fn shown(raw: &[u8]) -> String {
    let text = String::from_utf8_lossy(raw);
    let mut shown: String =
        text.chars().take(120).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().count() > 120 {
        shown.push('…');
    }
    shown
}
