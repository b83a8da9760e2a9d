//! Try it: one request with the model's example input, and what came back.

use crate::post::{Post, PostForm};
use leptos::prelude::*;

use super::FormError;
use crate::server_fns::TryRequest;
use crate::view::{Permit, TryAnswer};

#[component]
pub fn TryIt(
    model_id: String,
    deployment_id: String,
    example: String,
    #[prop(into)] permit: Signal<Permit>,
) -> impl IntoView {
    let send = Post::<TryAnswer>::to::<TryRequest>();
    let value = send.answer;
    let rows = example.lines().count().clamp(4, 16).to_string();
    let answer = move || {
        value.with(|value| match value {
            Some(Ok(answer)) => Some(answer.clone()),
            _ => None,
        })
    };
    view! {
        <PostForm post=send class="try">
            <input type="hidden" name="model_id" value=model_id />
            <input type="hidden" name="deployment_id" value=deployment_id />
            <label class="field">
                <span>"Input"</span>
                <textarea name="input" rows=rows spellcheck="false" autocomplete="off">
                    {example}
                </textarea>
            </label>
            {move || {
                permit.with(|permit| permit.reason().map(str::to_owned)).map(|why| view! { <p class="hint">{why}</p> })
            }}
            <button
                type="submit"
                class="primary"
                disabled=move || send.pending.get() || !permit.with(Permit::is_allowed)
            >
                {move || if send.pending.get() { "Waiting for the answer…" } else { "Send request" }}
            </button>
            <FormError post=send />
        </PostForm>
        <div aria-live="polite" class="answer">
            {move || answer().map(|answer| view! { <Answer answer=answer /> })}
        </div>
    }
}

#[component]
fn Answer(answer: TryAnswer) -> impl IntoView {
    let TryAnswer { status, millis, body, replica } = answer;
    view! {
        <p class="answer-head">
            <strong class:bad=status != 200>{status}</strong>
            <span>" in " {millis} " ms"</span>
            {replica.map(|replica| view! { <span>" by replica " <code>{replica}</code></span> })}
        </p>
        <pre tabindex="0" role="region" aria-label="Answer">
            <code>{body}</code>
        </pre>
    }
}
