//! How much room the disk of the data folder has.

use std::path::Path;

use domain::memory_text;

/// Less is told in the log: a build takes as much.
const SCARCE: u64 = 1 << 30;

/// Bytes that may still be written to the disk that holds a path.
pub fn free(path: &Path) -> std::io::Result<u64> {
    let space = rustix::fs::statvfs(path)?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

/// What a page says while room is scarce.
pub fn warning(path: &Path) -> Option<String> {
    free(path).ok().and_then(sentence)
}

fn sentence(free: u64) -> Option<String> {
    (free < SCARCE).then(|| {
        format!(
            "Only {} are free on the server's disk. When it is full, models go on answering, but nothing can be pushed or \
             changed until there is room again.",
            memory_text(free)
        )
    })
}

/// Tells when room becomes scarce, and when there is enough again; once each.
#[derive(Debug, Default)]
pub struct Watch {
    scarce: bool,
}

impl Watch {
    /// Measures the disk that holds `folder`.
    pub fn look(&mut self, folder: &Path) {
        match free(folder) {
            Ok(free) => match self.changes(free) {
                Some(true) => tracing::warn!(
                    "only {} are free on the data folder's disk; when it is full, models go on answering, and everything \
                     that has to be written down is refused: make room on it",
                    memory_text(free)
                ),
                Some(false) => {
                    tracing::info!("there is room on the data folder's disk again: {}", memory_text(free))
                }
                None => {}
            },
            Err(error) => tracing::debug!(%error, "the room on the data folder's disk could not be measured"),
        }
    }

    /// Whether room is scarce, if that was otherwise before. There is enough again only with a fifth more.
    fn changes(&mut self, free: u64) -> Option<bool> {
        let scarce = if self.scarce { free < SCARCE + SCARCE / 5 } else { free < SCARCE };
        let changed = scarce != self.scarce;
        self.scarce = scarce;
        changed.then_some(scarce)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_warn_while_there_is_something_to_do() {
        assert_eq!(sentence(SCARCE), None);
        let said = sentence(300 << 20).unwrap();
        assert!(said.starts_with("Only 300 MiB are free"), "{said}");
    }

    #[test]
    fn each_change_is_told_once() {
        let mut watch = Watch::default();
        let told = [5 * SCARCE, SCARCE - 1, SCARCE / 2, SCARCE + 1, SCARCE - 1, 2 * SCARCE, 2 * SCARCE]
            .map(|free| watch.changes(free));
        assert_eq!(told, [None, Some(true), None, None, None, Some(false), None]);
    }
}
