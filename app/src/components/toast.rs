//! Short news of what an action did, read out politely.

use gloo_timers::callback::Timeout;
use leptos::prelude::*;

/// Long enough to read two lines.
const SHOWN_MS: u32 = 7000;

#[derive(Clone, Copy)]
pub struct News {
    list: RwSignal<Vec<(u64, String)>>,
    next: StoredValue<u64>,
}

pub fn provide_toasts() {
    provide_context(News { list: RwSignal::new(Vec::new()), next: StoredValue::new(0) });
}

pub fn use_toasts() -> News {
    expect_context()
}

impl News {
    /// Shows a sentence for some seconds.
    pub fn tell(self, sentence: String) {
        let id = self.next.get_value();
        self.next.set_value(id + 1);
        self.list.update(|list| list.push((id, sentence)));
        Timeout::new(SHOWN_MS, move || self.dismiss(id)).forget();
    }

    fn dismiss(self, id: u64) {
        self.list.update(|list| list.retain(|(other, _)| *other != id));
    }
}

#[component]
pub fn Toasts() -> impl IntoView {
    let news = use_toasts();
    view! {
        <div class="toasts" role="status" aria-live="polite">
            <For each=move || news.list.get() key=|(id, _)| *id let((id, sentence))>
                <p class="toast">
                    <span>{sentence}</span>
                    <button type="button" class="quiet" aria-label="Dismiss" on:click=move |_| news.dismiss(id)>
                        "×"
                    </button>
                </p>
            </For>
        </div>
    }
}
