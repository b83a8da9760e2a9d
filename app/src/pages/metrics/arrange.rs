//! Choosing which graphs are shown, and in which order. The browser keeps it, for each model.

use leptos::prelude::*;
use wasm_bindgen::{JsCast, JsValue};

use super::graphs::GRAPHS;
use super::layout::{Layout, Step};

/// The id of the line that opens the list.
const OPENER: &str = "arrange-graphs";

/// How a person arranged the graphs of a model.
#[derive(Clone, Copy)]
pub struct Arrangement {
    layout: RwSignal<Layout>,
    /// What the browser keeps it by.
    key: StoredValue<String>,
    /// Whether the browser keeps anything.
    is_kept: RwSignal<bool>,
    /// What was just done, for those who listen.
    said: RwSignal<String>,
}

impl Arrangement {
    /// The page's own, as the server draws it; what the browser kept for the model follows once the page lives.
    pub fn of(model_id: &str) -> Self {
        let arrangement = Self {
            layout: RwSignal::new(Layout::usual(GRAPHS.len())),
            key: StoredValue::new(format!("slipway-graphs-{model_id}")),
            is_kept: RwSignal::new(true),
            said: RwSignal::new(String::new()),
        };
        Effect::new(move || match arrangement.key.with_value(|key| kept(key)) {
            Ok(Some(text)) => arrangement.layout.set(Layout::parse(&text, &names())),
            Ok(None) => {}
            Err(_) => arrangement.is_kept.set(false),
        });
        arrangement
    }

    /// The graphs to draw, in order.
    pub fn shown(self) -> Vec<usize> {
        self.layout.with(Layout::shown)
    }

    /// Shows every graph, in the order that was chosen.
    pub fn show_all(self) {
        let mut layout = self.layout.get_untracked();
        layout.show_all();
        self.set(layout, "All graphs are shown.".to_owned());
        // The button that was pressed is gone.
        focus(OPENER);
    }

    fn show(self, place: usize, is_shown: bool) {
        let mut layout = self.layout.get_untracked();
        layout.show(place, is_shown);
        // The box itself says the rest.
        let said = if layout.shown().is_empty() { "Every graph is hidden." } else { "" };
        self.set(layout, said.to_owned());
    }

    fn step(self, place: usize, step: Step) {
        let mut layout = self.layout.get_untracked();
        let Some(to) = layout.step(place, step) else { return };
        let said = format!("{} is now {} of {}.", title(&layout, to), to + 1, GRAPHS.len());
        self.set(layout, said);
        // The focus goes along with the graph; at an end only the way back is left.
        let next = match step {
            Step::Up if to == 0 => Step::Down,
            Step::Down if to + 1 == GRAPHS.len() => Step::Up,
            onward => onward,
        };
        focus(&button_id(next, to));
    }

    fn reset(self) {
        self.set(Layout::usual(GRAPHS.len()), "All graphs are shown, in the usual order.".to_owned());
    }

    /// Shows the graphs so, keeps it, and says what was done. What is as usual leaves nothing behind.
    fn set(self, layout: Layout, said: String) {
        let text = (!layout.is_usual()).then(|| layout.text(&names()));
        self.is_kept.set(self.key.with_value(|key| keep(key, text.as_deref())).is_ok());
        self.layout.set(layout);
        self.said.set(said);
    }
}

fn names() -> Vec<&'static str> {
    GRAPHS.iter().map(|graph| graph.name).collect()
}

fn title(layout: &Layout, place: usize) -> &'static str {
    layout.at(place).and_then(|place| GRAPHS.get(place.graph)).map_or("", |graph| graph.title)
}

/// What this browser kept.
///
/// # Errors
/// It keeps nothing for this page.
fn kept(key: &str) -> Result<Option<String>, JsValue> {
    storage()?.get_item(key)
}

/// Keeps a text, or nothing.
///
/// # Errors
/// This browser keeps nothing for this page, or has no room.
fn keep(key: &str, text: Option<&str>) -> Result<(), JsValue> {
    let storage = storage()?;
    match text {
        Some(text) => storage.set_item(key, text),
        None => storage.remove_item(key),
    }
}

fn storage() -> Result<web_sys::Storage, JsValue> {
    window().local_storage()?.ok_or(JsValue::NULL)
}

fn button_id(step: Step, place: usize) -> String {
    let step = match step {
        Step::Up => "up",
        Step::Down => "down",
    };
    format!("graph-{step}-{place}")
}

fn focus(id: &str) {
    let element = document().get_element_by_id(id);
    if let Some(element) = element.and_then(|element| element.dyn_into::<web_sys::HtmlElement>().ok()) {
        let _ = element.focus();
    }
}

/// The list of all graphs, with what can be done to each.
#[component]
pub fn Arrange(arrangement: Arrangement) -> impl IntoView {
    // The rows stay where they are, and the graphs move through them.
    let rows = (0..GRAPHS.len()).map(|place| row(arrangement, place)).collect_view();
    let hidden = move || match GRAPHS.len().saturating_sub(arrangement.shown().len()) {
        0 => String::new(),
        hidden => format!(" ({hidden} hidden)"),
    };
    let note = move || match arrangement.is_kept.get() {
        true => "Kept in this browser, for all pages of this model.",
        false => "This browser keeps nothing for this page: the choice ends when you leave it.",
    };
    view! {
        <div class="arrange">
            <details>
                <summary id=OPENER>"Arrange graphs" {hidden}</summary>
                <div class="panel">
                    <ol aria-label="Graphs">{rows}</ol>
                    <button type="button" class="plain small" on:click=move |_| arrangement.reset()>
                        "Reset"
                    </button>
                    <p class="hint">{note}</p>
                </div>
            </details>
            <span class="hidden" role="status" aria-live="polite">
                {arrangement.said}
            </span>
        </div>
    }
}

fn row(arrangement: Arrangement, place: usize) -> impl IntoView {
    let layout = arrangement.layout;
    let title = move || layout.with(|layout| title(layout, place));
    let is_shown = move || layout.with(|layout| layout.at(place).is_some_and(|place| place.is_shown));
    let button = move |step: Step| {
        let (way, sign, is_end) = match step {
            Step::Up => ("up", "↑", place == 0),
            Step::Down => ("down", "↓", place + 1 == GRAPHS.len()),
        };
        view! {
            <button
                type="button"
                class="plain small"
                id=button_id(step, place)
                disabled=is_end
                aria-label=move || format!("Move {} {way}", title())
                on:click=move |_| arrangement.step(place, step)
            >
                {sign}
            </button>
        }
    };
    view! {
        <li>
            <label class="check">
                <input
                    type="checkbox"
                    prop:checked=is_shown
                    on:change=move |event| arrangement.show(place, event_target_checked(&event))
                />
                <span>{title}</span>
            </label>
            {button(Step::Up)}
            {button(Step::Down)}
        </li>
    }
}
