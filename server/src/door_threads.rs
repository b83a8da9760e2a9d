//! Where pages and the API are answered: threads that make way for the gateway's.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context;
use axum::Router;
use gateway::AppRequest;
use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::gettid;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::bridge;

/// How far these threads stand back behind the rest of the server (0 to 19). Where all processors are busy they get about a third of what a gateway's thread
/// gets, so that a page is slower then, and never stops.
const STEP_BACK: i32 = 5;
const THREADS: usize = 2;

/// A runtime of its own for what people and programs ask of the application. Nothing that starts processes belongs here: they
/// would inherit the threads' place.
pub struct DoorThreads(Option<Runtime>);

impl DoorThreads {
    pub fn open() -> anyhow::Result<Self> {
        // Threads begin with what their maker has, which may be one of these.
        let niceness = (getpriority_process(None)? + STEP_BACK).min(19);
        let number = AtomicU64::new(0);
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name_fn(move || format!("slipway-door-{}", number.fetch_add(1, Ordering::Relaxed)))
            .on_thread_start(move || stand_back(niceness))
            .enable_all()
            .build()
            .context("starting the threads that answer pages and the API")?;
        Ok(Self(Some(runtime)))
    }

    /// Has `begin` start tasks there by itself.
    pub fn within<T>(&self, begin: impl FnOnce() -> T) -> T {
        let _within = self.0.as_ref().map(Runtime::enter);
        begin()
    }

    /// Answers there what the gateway passes on.
    pub fn carry(&self, requests: mpsc::Receiver<AppRequest>, router: Router) -> Option<JoinHandle<()>> {
        self.0.as_ref().map(|runtime| runtime.spawn(bridge::carry(requests, router)))
    }
}

impl Drop for DoorThreads {
    /// Tasks end where they wait; a runtime must not wait for that inside another one.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Linux keeps a niceness for each thread.
fn stand_back(niceness: i32) {
    if let Err(error) = setpriority_process(Some(gettid()), niceness) {
        tracing::warn!(%error, "pages and the API are answered at the gateway's own priority");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stands_back_where_requests_are_answered_and_nowhere_else() {
        let niceness = || getpriority_process(Some(gettid())).unwrap();
        let (ours, doors) = (niceness(), DoorThreads::open().unwrap());
        let runtime = doors.0.as_ref().unwrap();
        let theirs = (ours + STEP_BACK).min(19);
        assert_eq!(runtime.spawn(async move { niceness() }).await.unwrap(), theirs);
        assert_eq!(runtime.spawn_blocking(niceness).await.unwrap(), theirs);
        assert_eq!(niceness(), ours);
    }
}
