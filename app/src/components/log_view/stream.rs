//! New lines from the server, as they are written.

use std::rc::Rc;

use wasm_bindgen::prelude::*;
use web_sys::{EventSource, MessageEvent};

use crate::view::LogPage;

/// What comes over a stream.
pub enum Heard {
    Connected,
    News(Box<LogPage>),
    /// It broke. The browser tries again by itself, unless the server refused.
    Lost {
        refused: bool,
    },
}

/// An open stream; closed when it is dropped.
pub struct Stream {
    source: EventSource,
    _opened: Closure<dyn Fn()>,
    _message: Closure<dyn Fn(MessageEvent)>,
    _failed: Closure<dyn Fn()>,
}

impl Stream {
    pub fn open(address: &str, hear: Rc<dyn Fn(Heard)>) -> Option<Self> {
        let source = EventSource::new(address).ok()?;
        let heard = hear.clone();
        let opened = Closure::<dyn Fn()>::new(move || heard(Heard::Connected));
        source.set_onopen(Some(opened.as_ref().unchecked_ref()));
        let heard = hear.clone();
        let message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
            let text = event.data().as_string().unwrap_or_default();
            if let Ok(page) = serde_json::from_str(&text) {
                heard(Heard::News(Box::new(page)));
            }
        });
        source.set_onmessage(Some(message.as_ref().unchecked_ref()));
        let stream = source.clone();
        let failed = Closure::<dyn Fn()>::new(move || {
            hear(Heard::Lost { refused: stream.ready_state() == EventSource::CLOSED });
        });
        source.set_onerror(Some(failed.as_ref().unchecked_ref()));
        Some(Self { source, _opened: opened, _message: message, _failed: failed })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.source.set_onopen(None);
        self.source.set_onmessage(None);
        self.source.set_onerror(None);
        self.source.close();
    }
}
