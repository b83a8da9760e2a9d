//! The machine's clock: the one place that asks it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use domain::{Clock, Timestamp};

/// Names a file with the milliseconds by which the wall clock is wrong. Only `slipway doctor --chaos` sets it, for the server
/// that it breaks: what else uses the machine keeps its time.
pub const WRONG_BY: &str = "SLIPWAY_CLOCK_WRONG_BY";
/// How often that file is read.
const READ_EVERY: Duration = Duration::from_millis(50);

/// Wall time, and milliseconds since this process began.
#[derive(Debug)]
pub struct SystemClock {
    origin: std::time::Instant,
    /// Milliseconds to add to the wall time.
    wrong_by: Option<Arc<AtomicI64>>,
}

impl SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock that everybody else asks")]
    pub fn new() -> Self {
        Self {
            origin: std::time::Instant::now(),
            wrong_by: std::env::var_os(WRONG_BY).map(|path| follow(path.into())),
        }
    }
}

/// Reads the file for as long as somebody asks the clock.
fn follow(path: PathBuf) -> Arc<AtomicI64> {
    let read = move || std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
    let wrong_by = Arc::new(AtomicI64::new(read().unwrap_or(0)));
    let told = Arc::downgrade(&wrong_by);
    std::thread::spawn(move || {
        while let Some(wrong_by) = told.upgrade() {
            if let Some(millis) = read() {
                wrong_by.store(millis, Relaxed);
            }
            drop(wrong_by);
            std::thread::sleep(READ_EVERY);
        }
    });
    wrong_by
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock that everybody else asks")]
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
        self.wrong_by.as_ref().map_or(now, |wrong_by| now.plus(wrong_by.load(Relaxed)))
    }

    fn monotonic(&self) -> i64 {
        i64::try_from(self.origin.elapsed().as_millis()).unwrap_or(i64::MAX)
    }
}
