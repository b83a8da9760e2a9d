//! The lines themselves: followed as they are written, read back page by page.

use std::rc::Rc;
use std::sync::Arc;

use domain::{LogLevel, LogPlaces, LogSource, Timestamp};
use gloo_timers::callback::Timeout;
use leptos::prelude::*;
use leptos::task::spawn_local;
use leptos_router::params::ParamsMap;

use super::Choices;
use super::pane::{KEPT, Pane, RULER};
use super::stream::{Heard, Stream};
use crate::clock::{absolute, machine, time_of_day};
use crate::components::{deployment_path, environment_path};
use crate::read::{self, decode};
use crate::view::{DeploymentRef, LogCursor, LogFilter, LogPage, LogRow, LogScope};

/// Before a stream that the server refused is tried again.
const RETRY_MS: u32 = 3000;
/// New lines that are read aloud at once; of more, only how many came.
const ALOUD: usize = 3;

#[component]
pub fn LogLines(initial: LogPage) -> impl IntoView {
    let choices: Choices = expect_context();
    let LogPage { scope, filter, lines, next, older, searched_to, .. } = initial;
    let pane = Pane::new(lines);
    let lost = RwSignal::new(false);
    let said = RwSignal::new(String::new());
    let has_older = RwSignal::new(older);
    let stopped = RwSignal::new(searched_to);
    let of = Of { scope, filter };
    let files = of.address("/api/ui/log_file", None);
    let is_filtered = of.filter != LogFilter::default();
    let sides = of.scope.is_environment();
    let shown_of = of.scope.clone();
    let loading = RwSignal::new(false);
    let reader = StoredValue::new(of.clone());
    let read_back = move || {
        if has_older.get_untracked() && !loading.get_untracked() {
            reader.with_value(|reader| reader.read_back(pane, has_older, stopped, loading));
        }
    };
    // There is nobody to follow for on the server.
    if cfg!(feature = "hydrate") {
        stay_measured(pane, choices);
        follow(of, next, pane, choices, lost, said);
    }
    let note = move || match (pane.count.get(), is_filtered) {
        (count, _) if stopped.get().is_some() => {
            let nanos = stopped.get().map_or(0, |at| at.0);
            let lines = if count == 1 { "line" } else { "lines" };
            let at = absolute(Timestamp::from_millis(nanos.div_euclid(1_000_000)));
            format!("{count} {lines}; searched back to {at}")
        }
        (0, false) if sides => "No lines yet. What its deployments print appears here.".to_owned(),
        (0, false) => "No lines yet. What the build and the replicas print appears here.".to_owned(),
        (0, true) => "No line matches. New ones that do appear here.".to_owned(),
        _ if lost.get() => "The connection is lost; new lines follow when the server answers.".to_owned(),
        (1, _) => "1 line".to_owned(),
        (KEPT.., _) => format!("the newest {KEPT} lines; the file has all that are kept"),
        (count, _) if has_older.get() => format!("the newest {count} lines; scroll up for older ones"),
        (count, _) => format!("{count} lines"),
    };
    let new_lines = move || match pane.unseen.get() {
        1 => "1 new line".to_owned(),
        unseen => format!("{unseen} new lines"),
    };
    let zeros = vec!["0".repeat(RULER.0); RULER.1].join("\n");
    view! {
        <div class="log-tools">
            <label class="check">
                <input type="checkbox" bind:checked=choices.tail />
                "Tail"
            </label>
            <label class="check">
                <input type="checkbox" bind:checked=choices.wrap />
                "Wrap long lines"
            </label>
            <label class="check">
                <input type="checkbox" bind:checked=choices.aloud />
                "Read new lines aloud"
            </label>
            <p class="hint" class:lost=lost role="status">
                {note}
            </p>
            <button
                type="button"
                class="plain small"
                hidden=move || stopped.get().is_none()
                disabled=loading
                on:click=move |_| read_back()
            >
                "Search older lines"
            </button>
            <div class="files" role="group" aria-label="Download">
                "Download"
                {file_link(&files, "text", "Text")}
                {file_link(&files, "csv", "CSV")}
                {file_link(&files, "json", "JSON")}
            </div>
        </div>
        <div class="log-frame">
            <div
                class="log"
                class:sides=sides
                class:wrapped=choices.wrap
                role="log"
                aria-live="off"
                aria-label="Log lines"
                tabindex="0"
                node_ref=pane.log
                on:scroll=move |_| {
                    pane.scrolled();
                    if pane.is_at_begin() {
                        read_back();
                    }
                }
            >
                <div class="whole" node_ref=pane.whole>
                    <div class="drawn" node_ref=pane.drawn>
                        <For each=move || pane.shown.get() key=|line| line.key() let(line)>
                            {line_view(&line, &shown_of)}
                        </For>
                    </div>
                </div>
                <p class="line ruler" aria-hidden="true">
                    <span class="when">"00:00:00"</span>
                    {sides.then(|| view! { <span class="side"></span> })}
                    <span class="from"></span>
                    <span class="message" node_ref=pane.cell>
                        <span class="zeros" node_ref=pane.ruler>{zeros}</span>
                    </span>
                </p>
            </div>
            <button
                type="button"
                class="small new-lines"
                hidden=move || pane.unseen.get() == 0
                on:click=move |_| {
                    pane.go_to_end();
                    pane.focus();
                }
            >
                {new_lines}
            </button>
        </div>
        <span class="hidden" aria-live="polite">
            {said}
        </span>
    }
}

/// Leads to a file: not a page of the dashboard's own router.
fn file_link(files: &str, format: &'static str, title: &'static str) -> impl IntoView + use<> {
    // What is asked for always names a model, so there is a query to go on with.
    let file = [files, "&format=", format].concat();
    view! {
        <a class="button plain small" href=file download rel="external">
            {title}
        </a>
    }
}

fn line_view(line: &Arc<LogRow>, of: &LogScope) -> impl IntoView + use<> {
    let LogRow { at, level, source, replica, request_id, message, deployment, .. } = line.as_ref().clone();
    let level = match level {
        Some(LogLevel::Error) => "error",
        Some(LogLevel::Warning) => "warning",
        Some(LogLevel::Debug) => "debug",
        _ => "info",
    };
    let side = of.is_environment().then(|| {
        let link = deployment.map(|DeploymentRef { id, name }| {
            let alone = format!("{}#logs", deployment_path(&of.model_id, &id));
            let title = format!("The log of {name} alone");
            view! {
                <a href=alone title=title tabindex="-1">
                    {name}
                </a>
            }
        });
        view! { <span class="side">{link}</span> }
    });
    let from = match (source, replica) {
        (LogSource::Build, _) => ("build".to_owned(), None),
        (LogSource::Platform, _) => ("slipway".to_owned(), None),
        (LogSource::Replica, replica) => {
            let path = path_of(of);
            let only = replica.as_ref().map(|id| format!("{path}?search=replica%3A{id}#logs"));
            (replica.unwrap_or_default(), only)
        }
    };
    let from = match from {
        (name, Some(only)) => view! {
            <a href=only title="Only lines of this replica" tabindex="-1">
                {name}
            </a>
        }
        .into_any(),
        (name, None) => name.into_any(),
    };
    let request = request_id.map(|id| format!("request {id}"));
    view! {
        <p class="line" data-level=level>
            <time class="when" datetime=machine(at) title=absolute(at)>
                {time_of_day(at)}
            </time>
            {side}
            <span class="from">{from}</span>
            <span class="message" title=request>
                {message}
            </span>
        </p>
    }
}

/// The page that shows a log.
fn path_of(scope: &LogScope) -> String {
    let LogScope { model_id, deployment_id, environment } = scope;
    match scope.is_environment() {
        true => format!("{}/logs", environment_path(model_id, environment)),
        false => deployment_path(model_id, deployment_id),
    }
}

/// Whose lines, and which of them.
#[derive(Clone)]
struct Of {
    scope: LogScope,
    filter: LogFilter,
}

impl Of {
    fn address(&self, path: &str, after: Option<LogPlaces>) -> String {
        let mut map = ParamsMap::new();
        for (name, value) in [
            ("model_id", &self.scope.model_id),
            ("deployment_id", &self.scope.deployment_id),
            ("environment", &self.scope.environment),
            ("level", &self.filter.level),
            ("search", &self.filter.search),
        ] {
            if !value.is_empty() {
                map.insert(name, value.clone());
            }
        }
        if let Some(after) = after {
            map.insert("after", after.to_string());
        }
        format!("{path}{}", map.to_query_string())
    }

    /// Reads the page of lines before the oldest one that is here, or before where the search stopped.
    fn read_back(
        &self,
        pane: Pane,
        has_older: RwSignal<bool>,
        stopped: RwSignal<Option<LogCursor>>,
        loading: RwSignal<bool>,
    ) {
        let oldest = pane.oldest().and_then(|id| id.parse::<i64>().ok());
        let Some(before) = stopped.get_untracked().map(|at| at.0).or(oldest) else { return };
        loading.set(true);
        let LogScope { model_id, deployment_id, environment } = self.scope.clone();
        let LogFilter { level, search } = self.filter.clone();
        let reading = read::logs(model_id, deployment_id, environment, level, search, 0, before);
        spawn_local(async move {
            // What can't be read now is asked for again when the reader scrolls on.
            if let Ok(text) = reading.await
                && let Ok(page) = decode::<LogPage>(&text)
                && loading.try_get_untracked().is_some()
            {
                pane.prepend(page.lines);
                has_older.set(page.older && !pane.is_full());
                stopped.set(page.searched_to.filter(|_| !pane.is_full()));
            }
            loading.try_set(false);
        });
    }
}

/// Measures when the page lives, when its width changes, and when lines are to be wrapped or not.
fn stay_measured(pane: Pane, choices: Choices) {
    Effect::new(move |before: Option<()>| {
        let wrap = choices.wrap.get();
        if before.is_none() && pane.measure(wrap) {
            pane.go_to_end();
        } else {
            measure_soon(pane, wrap, before.is_none());
        }
    });
    let resized = window_event_listener(leptos::ev::resize, move |_| {
        if pane.lives() {
            pane.measure(choices.wrap.get_untracked());
        }
    });
    on_cleanup(move || resized.remove());
}

/// Measures before the next frame is painted: by then what has just been made is in the page, and has its classes. What
/// is not shown has no size, and is tried again.
fn measure_soon(pane: Pane, wrap: bool, is_first: bool) {
    request_animation_frame(move || {
        if !pane.lives() {
            return;
        }
        if !pane.measure(wrap) {
            measure_soon(pane, wrap, is_first);
        } else if is_first {
            pane.go_to_end();
        }
    });
}

/// Follows while *Tail* is on and the page is looked at: a browser has few connections to one server, and pages in the
/// background would take them all.
fn follow(
    of: Of,
    start: LogPlaces,
    pane: Pane,
    choices: Choices,
    lost: RwSignal<bool>,
    said: RwSignal<String>,
) {
    let places = StoredValue::new(start);
    let stream = StoredValue::new_local(None::<Stream>);
    let seen = RwSignal::new(!document().hidden());
    let attempt = RwSignal::new(0u32);
    let hear: Rc<dyn Fn(Heard)> = Rc::new(move |heard| match heard {
        Heard::Connected => {
            lost.try_set(false);
        }
        Heard::News(page) => take(*page, places, pane, choices, said),
        Heard::Lost { refused } => {
            lost.try_set(true);
            if refused {
                Timeout::new(RETRY_MS, move || {
                    attempt.try_update(|attempt| *attempt += 1);
                })
                .forget();
            }
        }
    });
    Effect::new(move || {
        attempt.track();
        let open = choices.tail.get() && seen.get();
        // The one before is closed first.
        stream.set_value(None);
        if open {
            let address = of.address("/api/ui/log_stream", places.try_get_value());
            stream.set_value(Stream::open(&address, hear.clone()));
        } else {
            lost.set(false);
        }
    });
    let turned = window_event_listener_untyped("visibilitychange", move |_| {
        seen.try_set(!document().hidden());
    });
    on_cleanup(move || {
        turned.remove();
        stream.try_set_value(None);
    });
}

/// Takes what came over the stream.
fn take(page: LogPage, places: StoredValue<LogPlaces>, pane: Pane, choices: Choices, said: RwSignal<String>) {
    // What was on its way twice is taken once.
    let Some(known) = places.try_get_value().filter(|known| page.next != *known) else { return };
    places.set_value(page.next);
    let mut lines = page.lines;
    let place_of = |line: &LogRow| known.of(line.deployment.as_ref().map_or("", |of| of.id.as_str()));
    lines.retain(|line| line.nanos() > place_of(line));
    if choices.aloud.get_untracked() {
        said.set(match lines.as_slice() {
            few if few.len() <= ALOUD => {
                few.iter().map(|line| line.message.as_str()).collect::<Vec<_>>().join("\n")
            }
            many => format!("{} new lines", many.len()),
        });
    }
    let note = lines.first().filter(|_| page.left_out > 0).map(|first| left_out(page.left_out, first));
    if let Some(note) = note {
        lines.insert(0, note);
    }
    pane.append(lines);
}

/// A line in the place of those that were too many, before the first one that came.
fn left_out(count: u64, first: &LogRow) -> LogRow {
    LogRow {
        id: first.nanos().saturating_sub(1).to_string(),
        at: first.at,
        level: Some(LogLevel::Warning),
        source: LogSource::Platform,
        replica: None,
        request_id: None,
        message: format!(
            "{count} lines are left out here: they were written faster than they could be sent; the file has them"
        ),
        deployment: None,
    }
}
