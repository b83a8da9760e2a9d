//! Random bytes for ids, keys and nonces, from the operating system's generator.

use rand::TryRngCore;
use rand::rngs::OsRng;

/// Fills a buffer with bytes nobody can predict.
///
/// # Panics
/// If the operating system has no randomness to give: nothing here would be safe then.
pub fn fill(buffer: &mut [u8]) {
    if let Err(error) = OsRng.try_fill_bytes(buffer) {
        panic!("the operating system gives no random numbers: {error}");
    }
}

/// Fills an array with bytes nobody can predict.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}

/// `length` letters and digits nobody can predict, five bits each.
pub fn word<const N: usize>() -> String {
    domain::token(&bytes::<N>())
}
