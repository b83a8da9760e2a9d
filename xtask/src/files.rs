//! How long the files are that people read.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::shell::root;

/// Beyond this, a file probably has two subjects.
const LONG: usize = 450;

const FOLDERS: [&str; 6] = ["app", "crates", "end2end", "server", "style", "xtask"];
const KINDS: [&str; 4] = ["rs", "css", "ts", "py"];

/// Nine files in ten are shorter than [`LONG`]; names those that are not.
pub fn check() -> Result<()> {
    let root = root();
    let mut lengths = Vec::new();
    for folder in FOLDERS {
        collect(&root.join(folder), &mut lengths)?;
    }
    lengths.sort_by_key(|(_, lines)| std::cmp::Reverse(*lines));
    let total: usize = lengths.iter().map(|(_, lines)| lines).sum();
    let long: Vec<_> = lengths.iter().filter(|(_, lines)| *lines >= LONG).collect();
    println!(
        "{} files, {total} lines, median {}",
        lengths.len(),
        lengths.get(lengths.len() / 2).map_or(0, |f| f.1)
    );
    for (path, lines) in &long {
        println!("  {lines:>5}  {}", path.strip_prefix(&root).unwrap_or(path).display());
    }
    ensure!(
        long.len() * 10 <= lengths.len(),
        "{} of {} files have {LONG} lines or more; nine in ten should have fewer: split those that have two subjects",
        long.len(),
        lengths.len()
    );
    Ok(())
}

fn collect(folder: &Path, lengths: &mut Vec<(PathBuf, usize)>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "node_modules" || name == "target" || name == "test-results" {
            continue;
        }
        if path.is_dir() {
            collect(&path, lengths)?;
        } else if path.extension().is_some_and(|kind| KINDS.iter().any(|ours| kind == *ours)) {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            lengths.push((path, text.lines().count()));
        }
    }
    Ok(())
}
