use crate::erase::Erase;
use leptos::prelude::*;

/// A sentence whose names stand out: what is between `**` is strong.
#[component]
pub fn Sentence(#[prop(into)] text: Signal<String>) -> impl IntoView {
    move || {
        text.get()
            .split("**")
            .enumerate()
            .map(|(index, part)| {
                let part = part.to_owned();
                match index % 2 {
                    0 => part.erased(),
                    _ => view! { <strong>{part}</strong> }.erased(),
                }
            })
            .collect_view()
    }
}
