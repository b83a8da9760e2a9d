//! How long a connection that was told to end may take to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::patience::Patience;

/// A connection that ends once its client has taken the rest of its answer.
#[derive(Debug)]
pub(crate) struct Leaving {
    allowed: Duration,
    patience: Patience,
    /// Bytes that its client took, which goes on being counted.
    sent: Arc<AtomicU64>,
    seen: u64,
}

impl Leaving {
    /// The client may take nothing for this long, over all its pauses. What it takes earns it a second for each 1,024 bytes, up to as
    /// long again: the kernel takes megabytes at once that nobody has read.
    pub fn new(allowed: Duration, sent: Arc<AtomicU64>) -> Self {
        let seen = sent.load(Relaxed);
        Self { allowed, patience: Patience::new(allowed), sent, seen }
    }

    /// Counts anew.
    pub fn restart(&mut self) {
        *self = Self::new(self.allowed, self.sent.clone());
    }

    /// Ready when the client took nothing for too long.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sent = self.sent.load(Relaxed);
        if sent > self.seen {
            self.patience.came(sent - self.seen);
            self.patience.limit(self.allowed);
            self.seen = sent;
        }
        self.patience.poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    async fn is_over(leaving: &mut Leaving, within: u64) -> bool {
        let over = poll_fn(|cx| leaving.poll(cx));
        tokio::time::timeout(Duration::from_millis(within), over).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_reads_may_take_longer() {
        let sent = Arc::new(AtomicU64::new(1 << 20));
        let mut leaving = Leaving::new(Duration::from_secs(1), sent.clone());
        for _ in 0..100 {
            assert!(!is_over(&mut leaving, 950).await);
            sent.fetch_add(1024, Relaxed);
        }
        leaving.restart();
        assert!(!is_over(&mut leaving, 950).await);
        assert!(is_over(&mut leaving, 100).await, "what was sent before has bought nothing");
    }
}
