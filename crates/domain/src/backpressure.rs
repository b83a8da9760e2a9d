//! What becomes of a request that finds every place taken (semantics: Holding and waking).

use serde::{Deserialize, Serialize};

/// A choice between waiting and being refused. Without one, requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Backpressure {
    /// It waits in the deployment's queue.
    QueueOnFull,
    /// It is answered with 429 at once. While no replica is ready it still waits: it is what wakes one.
    RejectOnFull,
}

impl Backpressure {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::QueueOnFull => "QUEUE_ON_FULL",
            Self::RejectOnFull => "REJECT_ON_FULL",
        }
    }

    /// The choice of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::QueueOnFull, Self::RejectOnFull].into_iter().find(|choice| choice.as_str() == text)
    }
}
