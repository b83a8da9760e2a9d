//! The log of a deployment, followed while the page is open.

use crate::read::{self, decode};
use domain::{LogLevel, LogSource};
use gloo_timers::callback::Interval;
use leptos::html;
use leptos::prelude::*;
use leptos::task::spawn_local;

use crate::clock::{absolute, machine, time_of_day};

use crate::view::{LogPage, LogRow};

/// How often new lines are asked for.
const EVERY_MS: u32 = 1500;
/// As many lines as the page keeps; older ones are in the API.
const KEPT: usize = 2000;
/// Nearer to the end than this counts as at the end, in pixels.
const AT_END: i32 = 40;

#[component]
pub fn LogView(model_id: String, deployment_id: String, initial: LogPage) -> impl IntoView {
    let lines = RwSignal::new(initial.lines);
    let filter = RwSignal::new(String::new());
    let node = NodeRef::<html::Div>::new();
    // A timer can't cross the server's threads, and there is nobody to follow for there.
    if cfg!(feature = "hydrate") {
        follow(model_id, deployment_id, initial.next.0, lines, node);
    }

    let shown = move || {
        let wanted = filter.get().to_ascii_lowercase();
        lines.with(|lines| {
            lines
                .iter()
                .filter(|line| wanted.is_empty() || line.message.to_ascii_lowercase().contains(&wanted))
                .cloned()
                .collect::<Vec<_>>()
        })
    };
    let empty = move || {
        if lines.with(Vec::is_empty) {
            Some("No lines yet. What the build and the replicas print appears here.")
        } else if shown().is_empty() {
            Some("No line has this text.")
        } else {
            None
        }
    };
    view! {
        <div class="log-tools">
            <label class="field inline">
                <span>"Filter"</span>
                <input type="search" bind:value=filter autocomplete="off" spellcheck="false" />
            </label>
            <p class="hint">{move || format!("{} of {} lines", shown().len(), lines.with(Vec::len))}</p>
        </div>
        <div class="log" role="log" aria-label="Logs" tabindex="0" node_ref=node>
            <For each=shown key=|line| line.id.clone() let(line)>
                <Line line=line />
            </For>
            {move || empty().map(|text| view! { <p class="none">{text}</p> })}
        </div>
    }
}

#[component]
fn Line(line: LogRow) -> impl IntoView {
    let LogRow { at, level, source, replica, message, .. } = line;
    let level = match level {
        Some(LogLevel::Error) => "error",
        Some(LogLevel::Warning) => "warning",
        Some(LogLevel::Debug) => "debug",
        _ => "info",
    };
    let from = match (source, replica) {
        (LogSource::Build, _) => "build".to_owned(),
        (LogSource::Platform, _) => "slipway".to_owned(),
        (LogSource::Replica, replica) => replica.unwrap_or_default(),
    };
    view! {
        <p class="line" data-level=level>
            <time datetime=machine(at) title=absolute(at)>
                {time_of_day(at)}
            </time>
            <span class="from">{from}</span>
            <span class="message">{message}</span>
        </p>
    }
}

/// Asks for the lines after the last one, and stays at the end if the reader was there.
fn follow(
    model_id: String,
    deployment_id: String,
    start: i64,
    lines: RwSignal<Vec<LogRow>>,
    node: NodeRef<html::Div>,
) {
    let cursor = StoredValue::new(start);
    let busy = StoredValue::new(false);
    let timer = StoredValue::new_local(None::<Interval>);
    Effect::new(move || {
        scroll_to_end(node);
        let (model_id, deployment_id) = (model_id.clone(), deployment_id.clone());
        timer.set_value(Some(Interval::new(EVERY_MS, move || {
            if document().hidden() || busy.try_get_value() != Some(false) {
                return;
            }
            busy.set_value(true);
            let (model_id, deployment_id) = (model_id.clone(), deployment_id.clone());
            spawn_local(async move {
                let Some(after) = cursor.try_get_value() else { return };
                if let Ok(text) = read::logs(model_id, deployment_id, after).await
                    && let Ok(page) = decode::<LogPage>(&text)
                    && !page.lines.is_empty()
                {
                    let at_end = is_at_end(node);
                    cursor.try_set_value(page.next.0);
                    lines.try_update(|lines| {
                        lines.extend(page.lines);
                        let excess = lines.len().saturating_sub(KEPT);
                        lines.drain(..excess);
                    });
                    if at_end {
                        request_animation_frame(move || scroll_to_end(node));
                    }
                }
                busy.try_set_value(false);
            });
        })));
    });
    on_cleanup(move || {
        timer.try_set_value(None);
    });
}

fn is_at_end(node: NodeRef<html::Div>) -> bool {
    node.try_get_untracked()
        .flatten()
        .is_none_or(|log| log.scroll_height() - log.scroll_top() - log.client_height() < AT_END)
}

fn scroll_to_end(node: NodeRef<html::Div>) {
    if let Some(log) = node.try_get_untracked().flatten() {
        log.set_scroll_top(log.scroll_height());
    }
}
