//! A value that a page was rendered with and that is read again when it changed.
//!
//! The page's components stay as they are while the value under them moves, so an open dialog or a
//! half-typed field survives every update.

use std::cell::Cell;
use std::future::Future;
use std::rc::Rc;

use domain::Timestamp;
use gloo_timers::callback::Interval;
use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::clock::use_now;
use crate::error::AppError;
use crate::live::{Topic, use_live};

/// Nudges come in bursts; this long after the first of them the page reads once.
const SETTLE_MS: u32 = 60;

/// What a page shows, when it knows that moment.
pub trait AsOf {
    fn as_of(&self) -> Timestamp;
}

/// The value, and a way to ask for it again.
pub struct Fresh<T: 'static> {
    pub value: RwSignal<T>,
    /// Why the last reading failed, if that is for good: it was deleted, or the session ended.
    pub gone: RwSignal<Option<AppError>>,
    asked: RwSignal<u64>,
}

impl<T> Clone for Fresh<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Fresh<T> {}

impl<T: Send + Sync + 'static> Fresh<T> {
    /// Reads again now, as after an action of one's own.
    pub fn refresh(self) {
        self.asked.update(|asked| *asked += 1);
    }
}

/// Keeps `initial` fresh: reads again on nudges about `topic`, on [`Fresh::refresh`], and every
/// `seconds` while `moving` (counts change without a nudge).
pub fn keep_fresh<T, F, Answer>(initial: T, topic: Topic, moving: fn(&T) -> bool, read: F) -> Fresh<T>
where
    T: AsOf + Clone + PartialEq + Send + Sync + 'static,
    F: Fn() -> Answer + 'static,
    Answer: Future<Output = Result<T, AppError>> + 'static,
{
    use_now().learn(initial.as_of());
    let fresh = Fresh { value: RwSignal::new(initial), gone: RwSignal::new(None), asked: RwSignal::new(0) };
    if cfg!(feature = "hydrate") {
        watch(fresh, topic, moving, read);
    }
    fresh
}

fn watch<T, F, Answer>(fresh: Fresh<T>, topic: Topic, moving: fn(&T) -> bool, read: F)
where
    T: AsOf + Clone + PartialEq + Send + Sync + 'static,
    F: Fn() -> Answer + 'static,
    Answer: Future<Output = Result<T, AppError>> + 'static,
{
    let live = use_live();
    let clock = use_now();
    let read = Rc::new(read);
    let reading = Rc::new(Cell::new(false));
    let again = Rc::new(Cell::new(false));
    Effect::new(move |before: Option<(u64, u64)>| {
        let mark = (live.mark(&topic), fresh.asked.get());
        if before.is_none_or(|before| before == mark) {
            return mark;
        }
        again.set(true);
        if !reading.replace(true) {
            let (read, reading, again) = (read.clone(), reading.clone(), again.clone());
            spawn_local(async move {
                while again.replace(false) {
                    TimeoutFuture::new(SETTLE_MS).await;
                    again.set(false);
                    let answer = read().await;
                    match answer {
                        Ok(value) => {
                            clock.learn(value.as_of());
                            fresh.gone.try_set(None);
                            if fresh.value.try_with_untracked(|old| *old != value) == Some(true) {
                                fresh.value.try_set(value);
                            }
                        }
                        Err(error @ (AppError::NotFound { .. } | AppError::Unauthorized)) => {
                            fresh.gone.try_set(Some(error));
                        }
                        // Anything else passes; the page says that it is not connected.
                        Err(_) => {}
                    }
                }
                reading.set(false);
            });
        }
        mark
    });

    let is_moving = Memo::new(move |_| fresh.value.with(moving));
    let timer = StoredValue::new_local(None::<Interval>);
    Effect::new(move || {
        timer.set_value(is_moving.get().then(|| {
            Interval::new(1000, move || {
                if fresh.asked.try_update(|asked| *asked += 1).is_none() {
                    timer.try_set_value(None);
                }
            })
        }));
    });
    on_cleanup(move || {
        timer.try_set_value(None);
    });
}

macro_rules! as_of {
    ($($page:ty),*) => {$(
        impl AsOf for $page {
            fn as_of(&self) -> Timestamp {
                self.as_of
            }
        }
    )*};
}

as_of!(
    crate::view::ModelsPage,
    crate::view::ModelPage,
    crate::view::EnvironmentPage,
    crate::view::DeploymentPage,
    crate::view::UsagePage
);
