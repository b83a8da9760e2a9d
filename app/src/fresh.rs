//! A value that a page was rendered with and that is read again when it changed.
//!
//! The page's components stay as they are while the value under them moves, so an open dialog or a
//! half-typed field survives every update.

use std::cell::Cell;
use std::rc::Rc;

use domain::Timestamp;
use gloo_timers::callback::Interval;
use gloo_timers::future::TimeoutFuture;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::de::DeserializeOwned;

use crate::clock::use_now;
use crate::error::AppError;
use crate::live::{Topic, use_live};
use crate::read::{Reading, decode};

/// Nudges come in bursts; this long after the first of them the page reads once.
const SETTLE_MS: u32 = 60;

/// What a page shows, when it knows that moment.
pub trait AsOf {
    fn as_of(&self) -> Timestamp;
}

/// The value, and a way to ask for it again.
pub struct Fresh<T: 'static> {
    pub value: RwSignal<T>,
    /// Why the last reading failed, if that is for good: it was deleted, the session ended, or the server is of another
    /// version by now.
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
/// second while `moving` (counts change without a nudge).
pub fn keep_fresh<T>(
    initial: T,
    topic: Topic,
    moving: fn(&T) -> bool,
    read: impl Fn() -> Reading + 'static,
) -> Fresh<T>
where
    T: AsOf + Clone + PartialEq + DeserializeOwned + Send + Sync + 'static,
{
    let clock = use_now();
    clock.learn(initial.as_of());
    let fresh = Fresh { value: RwSignal::new(initial), gone: RwSignal::new(None), asked: RwSignal::new(0) };
    if cfg!(feature = "hydrate") {
        let take = move |text: &str| -> Result<(), AppError> {
            let value = decode::<T>(text)?;
            clock.learn(value.as_of());
            if fresh.value.try_with_untracked(|old| *old != value) == Some(true) {
                fresh.value.try_set(value);
            }
            Ok(())
        };
        let is_moving = Memo::new(move |_| fresh.value.with(moving));
        watch(topic, fresh.asked, Box::new(read), Rc::new(take), fresh.gone);
        ask_while(is_moving, fresh.asked);
    }
    fresh
}

/// Reads when the topic or the person asks for it, one reading at a time.
fn watch(
    topic: Topic,
    asked: RwSignal<u64>,
    read: Box<dyn Fn() -> Reading>,
    take: Rc<dyn Fn(&str) -> Result<(), AppError>>,
    gone: RwSignal<Option<AppError>>,
) {
    let live = use_live();
    let read = Rc::new(read);
    let reading = Rc::new(Cell::new(false));
    let again = Rc::new(Cell::new(false));
    Effect::new(move |before: Option<(u64, u64)>| {
        let mark = (live.mark(&topic), asked.get());
        // Nudges that came before the page was there to hear them are not heard again: what it was rendered with may be older.
        let is_fresh = before.map_or(mark.0 == 0, |before| before == mark);
        if is_fresh {
            return mark;
        }
        again.set(true);
        if !reading.replace(true) {
            let (read, take, reading, again) = (read.clone(), take.clone(), reading.clone(), again.clone());
            spawn_local(async move {
                while again.replace(false) {
                    TimeoutFuture::new(SETTLE_MS).await;
                    again.set(false);
                    let why = match read().await {
                        Ok(text) => take(&text).err(),
                        Err(error @ (AppError::NotFound { .. } | AppError::Unauthorized)) => Some(error),
                        // Anything else passes; the page says that it is not connected.
                        Err(_) => continue,
                    };
                    // What was said already is not said again.
                    if gone.try_with_untracked(|said| *said != why) == Some(true) {
                        gone.try_set(why);
                    }
                }
                reading.set(false);
            });
        }
        mark
    });
}

/// Reads again at a steady pace, for what comes without a nudge.
pub fn refresh_every<T: Send + Sync + 'static>(fresh: Fresh<T>, millis: u32) {
    // A timer belongs to one thread, and pages are rendered by many.
    if !cfg!(feature = "hydrate") {
        return;
    }
    let timer = StoredValue::new_local(None::<Interval>);
    Effect::new(move || {
        timer.set_value(Some(Interval::new(millis, move || {
            if fresh.asked.try_update(|asked| *asked += 1).is_none() {
                timer.try_set_value(None);
            }
        })));
    });
    on_cleanup(move || {
        timer.try_set_value(None);
    });
}

/// Asks every second while something moves.
fn ask_while(is_moving: Memo<bool>, asked: RwSignal<u64>) {
    let timer = StoredValue::new_local(None::<Interval>);
    Effect::new(move || {
        timer.set_value(is_moving.get().then(|| {
            Interval::new(1000, move || {
                if asked.try_update(|asked| *asked += 1).is_none() {
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
    crate::view::ActivityPage,
    crate::view::ModelsPage,
    crate::view::ModelPage,
    crate::view::EnvironmentPage,
    crate::view::LivePage,
    crate::view::MetricsPage,
    crate::view::DeploymentPage,
    crate::view::ScalingPage,
    crate::view::UsagePage
);
