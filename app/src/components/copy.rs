use gloo_timers::callback::Timeout;
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen_futures::JsFuture;

/// Puts a text on the clipboard, and says that it did.
#[component]
pub fn CopyButton(
    #[prop(into)] text: Signal<String>,
    /// What is copied, for the button's name: `Copy address`.
    #[prop(into)]
    what: String,
) -> impl IntoView {
    let said = RwSignal::new("Copy");
    let name = format!("Copy {what}");
    let copy = move |_| {
        // Browsers hand out the clipboard to pages by TLS and from this machine only.
        if !window().is_secure_context() {
            said.set("Select it instead");
            return;
        }
        let promise = window().navigator().clipboard().write_text(&text.get_untracked());
        spawn_local(async move {
            said.set(if JsFuture::from(promise).await.is_ok() { "Copied" } else { "Select it instead" });
            Timeout::new(2000, move || {
                said.try_set("Copy");
            })
            .forget();
        });
    };
    view! {
        <button type="button" class="copy" aria-label=name on:click=copy>
            <span aria-live="polite">{said}</span>
        </button>
    }
}

/// Code to copy.
#[component]
pub fn CodeBlock(#[prop(into)] code: String, #[prop(into)] what: String) -> impl IntoView {
    let label = what.clone();
    view! {
        <div class="code">
            <pre tabindex="0" aria-label=label role="region">
                <code>{code.clone()}</code>
            </pre>
            <CopyButton text=code what=what />
        </div>
    }
}
