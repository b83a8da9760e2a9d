//! Panics that end what panicked, and nothing else.

use std::any::Any;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// What a future comes to.
///
/// # Errors
/// If it panics; what it said.
pub(crate) async fn caught<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // After a panic it is not polled again, so nobody goes on with what that left half done.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(said(&*panic))),
        }
    })
    .await
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("nothing").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn drive(wheels: u32) -> u32 {
        tokio::task::yield_now().await;
        assert!(wheels != 1, "it fell over");
        assert!(wheels > 0, "{wheels} wheels");
        wheels
    }

    #[tokio::test]
    async fn a_panic_says_what_it_was() {
        assert_eq!(caught(drive(4)).await, Ok(4));
        assert_eq!(caught(drive(0)).await, Err("0 wheels".to_owned()));
        assert_eq!(caught(drive(1)).await, Err("it fell over".to_owned()));
    }
}
