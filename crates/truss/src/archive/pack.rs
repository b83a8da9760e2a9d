//! A folder as an archive, in the form the command line pushes: files only, in the order of their names.

use std::fs::{self, File};
use std::io;
use std::path::Path;

/// Writes the files of a folder into a tar file, which is there whole or not at all. Blocking.
pub fn pack(folder: &Path, archive: &Path) -> io::Result<()> {
    let fresh = archive.with_extension("tar.new");
    let mut builder = tar::Builder::new(File::create(&fresh)?);
    builder.mode(tar::HeaderMode::Deterministic);
    add(&mut builder, folder, Path::new(""))?;
    builder.into_inner()?.sync_all()?;
    fs::rename(fresh, archive)
}

fn add(builder: &mut tar::Builder<File>, folder: &Path, below: &Path) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (path, name) = (entry.path(), below.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            add(builder, &path, &name)?;
        } else if kind.is_file() {
            builder.append_path_with_name(&path, &name)?;
        }
    }
    Ok(())
}
