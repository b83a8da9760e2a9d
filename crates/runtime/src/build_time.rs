//! How long a build may take, and what is said of one that takes longer.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::tools::Told;

/// The time of one build, and what it is doing.
#[derive(Debug)]
pub(crate) struct BuildTime {
    limit: Duration,
    ends: Instant,
    doing: Mutex<String>,
}

impl BuildTime {
    /// It runs from now on.
    pub fn new(limit: Duration, doing: &str) -> Self {
        Self { limit, ends: Instant::now() + limit, doing: Mutex::new(doing.to_owned()) }
    }

    /// Notes what is done from now on.
    pub fn does(&self, what: &str) {
        *self.doing.lock().unwrap_or_else(PoisonError::into_inner) = what.to_owned();
    }

    /// Waits for a part of the build, for as long as there is time left. Then the part is dropped, which ends what it had started.
    pub async fn keep<T>(&self, part: impl Future<Output = Told<T>>) -> Told<T> {
        match timeout_at(self.ends, part).await {
            Ok(told) => told,
            Err(_) => Err(self.sentence()),
        }
    }

    fn sentence(&self) -> String {
        let doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        let minutes = match self.limit.as_secs() / 60 {
            1 => "1 minute".to_owned(),
            minutes => format!("{minutes} minutes"),
        };
        format!(
            "it was ended after {minutes} while {doing}, because `machine.build_limit_minutes` gives a build no more; \
             see in its log what it waited for, or raise the limit, and retry the deployment"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_parts_together_have_the_time() {
        let time = BuildTime::new(Duration::from_secs(120), "finding uv");
        let part = || async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            Ok(7)
        };
        assert_eq!(time.keep(part()).await, Ok(7));
        assert_eq!(time.keep(part()).await, Ok(7));
        time.does("installing requirements (1 of 2)");
        let told = time.keep(part()).await.unwrap_err();
        let begin = "it was ended after 2 minutes while installing requirements (1 of 2), because `machine.build_limit_minutes`";
        assert!(told.starts_with(begin), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_part_says_itself_is_passed_on() {
        let time = BuildTime::new(Duration::from_secs(60), "finding uv");
        let told: Told<()> = time.keep(async { Err("there is none".to_owned()) }).await;
        assert_eq!(told.unwrap_err(), "there is none");
    }
}
