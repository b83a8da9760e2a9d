//! How long a client may take to send a body.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// Bytes that earn a client another second.
const RATE: u64 = 1024;

/// Counts the time that a client lets us wait. A body that waits here, because its deployment is busy, costs nothing.
#[derive(Debug)]
pub(crate) struct Patience {
    left: Duration,
    since: Option<Instant>,
    /// Made when we first have to wait: most bodies are there with their head.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// A client may let us wait this long, and a second more for each 1,024 bytes it sends.
    pub fn new(allowed: Duration) -> Self {
        Self { left: allowed, since: None, timer: None }
    }

    /// Something came.
    pub fn came(&mut self, bytes: u64) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        self.left = self.left.saturating_add(Duration::from_millis(bytes.saturating_mul(1000) / RATE));
    }

    /// What came before earns no more than this.
    pub fn limit(&mut self, most: Duration) {
        self.left = self.left.min(most);
    }

    /// Nothing came; ready once that has been so for too long.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let ends = *self.since.get_or_insert(now) + self.left;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(ends)));
        if timer.deadline() != ends {
            timer.as_mut().reset(ends);
        }
        timer.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn wait(patience: &mut Patience, millis: u64) -> bool {
        let waiting = std::future::poll_fn(|cx| patience.poll(cx));
        tokio::time::timeout(Duration::from_millis(millis), waiting).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn trickling_does_not_help_and_sending_does() {
        let mut patience = Patience::new(Duration::from_secs(1));
        for _ in 0..3 {
            assert!(!wait(&mut patience, 300).await);
            patience.came(1);
        }
        assert!(wait(&mut patience, 300).await, "three bytes bought three milliseconds");
        let mut patience = Patience::new(Duration::from_secs(1));
        for _ in 0..100 {
            assert!(!wait(&mut patience, 900).await);
            patience.came(RATE);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn time_that_nobody_waits_for_the_client_does_not_count() {
        let mut patience = Patience::new(Duration::from_secs(1));
        assert!(!wait(&mut patience, 500).await);
        patience.came(1);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!wait(&mut patience, 400).await);
    }
}
