use leptos::prelude::*;

use crate::clock::{span, use_now};
use crate::live::{Connection, use_live};
use domain::Timestamp;

/// Whether the page is live, or since when it is not.
#[component]
pub fn LiveIndicator() -> impl IntoView {
    let live = use_live();
    let now = use_now();
    let state = move || match live.connection.get() {
        Connection::Opening => "opening",
        Connection::Connected => "connected",
        Connection::Lost { .. } => "lost",
    };
    let words = move || match live.connection.get() {
        Connection::Opening => "Connecting".to_owned(),
        Connection::Connected => "Live".to_owned(),
        Connection::Lost { since } => {
            let _ = now.get(Timestamp::default());
            format!("Reconnecting for {}", span((js_sys::Date::now() - since) as i64))
        }
    };
    view! {
        <p class="live" data-state=state role="status">
            <span>{words}</span>
        </p>
    }
}
