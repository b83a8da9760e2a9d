//! Bad input for tests: what is valid, mangled; and how much memory taking it in costs.
//!
//! Random bytes are refused at the first of them. What goes wrong in a parser goes wrong behind its first checks, so here
//! inputs begin valid and lose that a little.

mod bytes;
mod json;
mod memory;

use proptest::test_runner::Config;

pub use bytes::{mangled, mangled_text};
pub use json::mangled_json;
pub use memory::{Counting, CountingAll, Growth, peak};

/// Cases of each property, and of one whose cases are dear, unless `SLIPWAY_CASES` says another number.
const CASES: u32 = 10_000;
const DEAR_CASES: u32 = 1_000;

fn asked() -> Option<u32> {
    std::env::var("SLIPWAY_CASES").ok()?.parse().ok()
}

/// How often each property is tried.
pub fn cases() -> u32 {
    asked().unwrap_or(CASES)
}

/// As many cases as [`cases`] says, and no files beside the tests.
pub fn config() -> Config {
    Config { cases: cases(), failure_persistence: None, ..Config::default() }
}

/// For a property whose cases take a millisecond or more, such as those that write files.
pub fn dear() -> Config {
    Config { cases: asked().unwrap_or(DEAR_CASES), ..config() }
}

/// Runs something that takes in `size` bytes, and sees to it that it needs no more than `times` as many, and 1 MiB.
#[track_caller]
pub fn bounded<R>(size: usize, times: usize, act: impl FnOnce() -> R) -> R {
    let (result, used) = peak(act);
    let allowed = (1 << 20) + size * times;
    assert!(used <= allowed, "{used} bytes of memory for an input of {size}; {allowed} are allowed");
    result
}
