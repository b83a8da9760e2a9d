//! What makes pages live: one stream of nudges from the server.
//!
//! A nudge carries no data. Pages read again through the same server function they were rendered
//! with, so there is one way to learn a fact, and a lost nudge costs a moment, not a wrong page.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use domain::{Change, ChangeKind};
use gloo_timers::callback::Timeout;
use leptos::prelude::*;
use wasm_bindgen::prelude::*;
use web_sys::{EventSource, MessageEvent};

/// Where the server sends nudges.
const EVENTS: &str = "/api/ui/events";
/// Before a closed stream is opened again.
const RETRY_MS: u32 = 1500;

/// Whether nudges arrive.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Connection {
    /// Not opened yet: on the server, and before the first answer.
    Opening,
    Connected,
    /// Lost, since this browser time in milliseconds; being opened again.
    Lost {
        since: f64,
    },
}

/// How often each thing changed while this page was open.
#[derive(Debug, Default, Clone, PartialEq)]
struct Marks {
    all: u64,
    usage: u64,
    models: HashMap<String, u64>,
    /// Grows when it is unknown what changed, as with each new connection: then everything did.
    everything: u64,
}

/// What a page shows, and thus which nudges concern it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Topic {
    Models,
    Model(String),
    Usage,
}

#[derive(Clone, Copy)]
pub struct Live {
    pub connection: RwSignal<Connection>,
    marks: RwSignal<Marks>,
}

/// Opens the stream, in the browser only.
pub fn provide_live() {
    let live =
        Live { connection: RwSignal::new(Connection::Opening), marks: RwSignal::new(Marks::default()) };
    provide_context(live);
    Effect::new(move || live.open());
}

pub fn use_live() -> Live {
    expect_context()
}

impl Live {
    /// A number that differs from the one before when the topic changed.
    pub fn mark(self, topic: &Topic) -> u64 {
        self.marks.with(|marks| {
            marks.everything
                + match topic {
                    Topic::Models => marks.all,
                    Topic::Model(id) => marks.models.get(id).copied().unwrap_or(0),
                    Topic::Usage => marks.usage,
                }
        })
    }

    fn take(self, change: Change) {
        self.marks.update(|marks| match change.kind {
            ChangeKind::Model => {
                marks.all += 1;
                *marks.models.entry(change.id).or_default() += 1;
            }
            ChangeKind::Models => marks.all += 1,
            ChangeKind::Usage => marks.usage += 1,
            ChangeKind::Everything => marks.everything += 1,
        });
    }

    fn connected(self) {
        self.connection.set(Connection::Connected);
        // Also the first time: the page was rendered before anybody told it of changes.
        self.marks.update(|marks| marks.everything += 1);
    }

    fn lost(self) {
        if !matches!(self.connection.get_untracked(), Connection::Lost { .. }) {
            self.connection.set(Connection::Lost { since: js_sys::Date::now() });
        }
    }

    /// Opens the stream, and again whenever it ends; it lives as long as the tab.
    fn open(self) {
        let Ok(source) = EventSource::new(EVENTS) else { return };
        let opened = Closure::<dyn Fn()>::new(move || self.connected());
        source.set_onopen(Some(opened.as_ref().unchecked_ref()));
        let message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            let text = event.data().as_string().unwrap_or_default();
            if let Ok(change) = serde_json::from_str::<Change>(&text) {
                self.take(change);
            }
        });
        source.set_onmessage(Some(message.as_ref().unchecked_ref()));

        // The browser retries a stream that breaks, but gives up on one that was answered with an
        // error, as while a server restarts behind a proxy. Then it is ours to try again; the
        // handlers are kept until that moment, and dropped with the stream they belong to.
        let kept: Rc<RefCell<Option<(Closure<dyn Fn()>, Closure<dyn Fn(MessageEvent)>)>>> =
            Rc::new(RefCell::new(Some((opened, message))));
        let stream = source.clone();
        let failed = Closure::<dyn Fn()>::new(move || {
            self.lost();
            if stream.ready_state() == EventSource::CLOSED {
                stream.set_onopen(None);
                stream.set_onmessage(None);
                kept.borrow_mut().take();
                Timeout::new(RETRY_MS, move || self.open()).forget();
            }
        });
        source.set_onerror(Some(failed.as_ref().unchecked_ref()));
        failed.forget();
    }
}
