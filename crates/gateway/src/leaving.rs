//! How long a connection that was told to end may take to.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::patience::Patience;
use crate::sent::Sent;

/// A connection that ends once its client has taken the rest of its answer.
#[derive(Debug)]
pub(crate) struct Leaving {
    allowed: Duration,
    patience: Patience,
    sent: Arc<Sent>,
    /// Of what was sent, what had been taken at the last look.
    seen: u64,
}

impl Leaving {
    /// The client may take nothing for this long, over all its pauses. What it takes earns it a second for each 1,024 bytes, up to as
    /// long again: its own kernel takes megabytes at once that nobody has read.
    pub fn new(allowed: Duration, sent: Arc<Sent>) -> Self {
        let seen = sent.taken();
        Self { allowed, patience: Patience::new(allowed), sent, seen }
    }

    /// Counts anew.
    pub fn restart(&mut self) {
        *self = Self::new(self.allowed, self.sent.clone());
    }

    /// Ready when the client took nothing for too long.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.patience.poll(cx));
            // Nobody tells when something was taken, so that is asked when it matters.
            let taken = self.sent.taken();
            if taken <= self.seen {
                return Poll::Ready(());
            }
            self.patience.came(taken - self.seen);
            self.patience.limit(self.allowed);
            self.seen = taken;
        }
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
        let sent = Arc::new(Sent::default());
        sent.more(1 << 20);
        let mut leaving = Leaving::new(Duration::from_secs(1), sent.clone());
        for _ in 0..100 {
            assert!(!is_over(&mut leaving, 950).await);
            sent.more(1024);
        }
        leaving.restart();
        assert!(!is_over(&mut leaving, 950).await);
        assert!(is_over(&mut leaving, 100).await, "what was sent before has bought nothing");
    }
}
