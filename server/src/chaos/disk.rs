//! A small disk of its own for the server's data, so that it can be filled without harm to anybody else.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::room_left;

/// Room for the tools, environments and logs of a toy.
const BYTES: u64 = 1 << 30;
const CHUNK: usize = 1 << 20;

/// Mounts one at the folder, in the view of this process and of those it starts only; it goes with the last of them. Call it while
/// the process has one thread.
///
/// # Errors
/// Where that is not permitted: it takes root.
pub fn mount_at(folder: &Path) -> io::Result<()> {
    // SAFETY: it gives this thread a table of mounts of its own and touches nothing else; there is no other thread yet.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS)? };
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let options = std::ffi::CString::new(format!("size={BYTES},mode=0700"))?;
    mount("slipway-chaos", folder, "tmpfs", MountFlags::NOSUID, options.as_c_str())?;
    Ok(())
}

/// A file that takes all the room there is.
pub struct Ballast(PathBuf);

impl Ballast {
    /// Fills the disk of the folder until nothing more goes onto it.
    pub fn fill(folder: &Path) -> io::Result<Self> {
        let ballast = Self(folder.join("ballast"));
        File::create(&ballast.0)?;
        ballast.grow()?;
        Ok(ballast)
    }

    /// Takes what has become free since, too.
    pub fn grow(&self) -> io::Result<()> {
        let mut file = File::options().append(true).open(&self.0)?;
        let chunk = vec![0; CHUNK];
        let mut rest = chunk.as_slice();
        // Whole pages first, then what is left of the last one.
        loop {
            match file.write(rest) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::StorageFull && rest.len() > 1 => {
                    rest = &rest[..rest.len() / 2];
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Bytes that still go onto the folder's disk.
    pub fn left(folder: &Path) -> io::Result<u64> {
        room_left::free(folder)
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
