//! Files that one build holds at a time, so that what lies beside them has one maker.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How soon a file is tried again that somebody else holds. A wait inside the kernel would take one of the threads that all work with
/// files needs, also that of whoever holds it.
pub(crate) const AGAIN: Duration = Duration::from_millis(200);

/// Holds a file alone until what this returns is dropped, and every copy of it; `None` if somebody else holds it.
pub(crate) fn try_alone(path: &Path) -> io::Result<Option<File>> {
    let file = File::create(path)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(file)),
        Err(Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// As [`try_alone`], however long it takes until nobody else holds it.
pub(crate) async fn alone(path: &Path) -> io::Result<File> {
    loop {
        if let Some(held) = try_alone(path)? {
            return Ok(held);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Lets others hold it, too, as long as none wants it alone.
pub(crate) fn share(held: &File) -> io::Result<()> {
    Ok(flock(held, FlockOperation::NonBlockingLockShared)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_holds_it_until_the_last_copy_is_dropped() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("k1.lock");
        let first = alone(&path).await.unwrap();
        let copy = first.try_clone().unwrap();
        drop(first);
        assert!(try_alone(&path).unwrap().is_none());
        share(&copy).unwrap();
        assert!(try_alone(&path).unwrap().is_none(), "who shares it still holds it");
        let waits = tokio::spawn({
            let path = path.clone();
            async move { alone(&path).await.map(drop) }
        });
        drop(copy);
        waits.await.unwrap().unwrap();
    }

    /// A pool of threads is used up by as many as wait in it; these wait elsewhere.
    #[test]
    fn any_number_may_wait_beside_other_work_with_files() {
        let mut threads = tokio::runtime::Builder::new_current_thread();
        let threads = threads.max_blocking_threads(1).enable_all().build().unwrap();
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("k1.lock");
        threads.block_on(async {
            let held = alone(&path).await.unwrap();
            let mut waiting = tokio::task::JoinSet::new();
            for _ in 0..20 {
                let path = path.clone();
                waiting.spawn(async move { alone(&path).await.map(drop) });
            }
            tokio::task::yield_now().await;
            tokio::fs::remove_file(temp.path().join("nothing")).await.unwrap_err();
            drop(held);
            while let Some(waited) = waiting.join_next().await {
                waited.unwrap().unwrap();
            }
        });
    }
}
