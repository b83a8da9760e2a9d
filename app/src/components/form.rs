//! What forms share: how they end well, and how they show that they did not.

use leptos::prelude::*;

use super::use_toasts;
use crate::post::Post;

/// Asks the page around to read again.
#[derive(Clone, Copy)]
pub struct Refresh(Callback<()>);

impl Refresh {
    pub fn now(self) {
        self.0.run(());
    }
}

pub fn provide_refresh(refresh: impl Fn() + Send + Sync + 'static) {
    provide_context(Refresh(Callback::new(move |()| refresh())));
}

/// When the action succeeded: tells what it did, has the page read again, then does `then`.
pub fn when_done(post: Post, then: impl Fn() + 'static) {
    let toasts = use_toasts();
    let refresh = use_context::<Refresh>();
    let value = post.answer;
    Effect::new(move || {
        if let Some(Ok(done)) = value.get() {
            toasts.tell(done.sentence);
            if let Some(refresh) = refresh {
                refresh.now();
            }
            then();
        }
    });
}

/// Why the form was refused, where the person is looking.
#[component]
pub fn FormError<T: Send + Sync + 'static>(post: Post<T>) -> impl IntoView {
    let value = post.answer;
    view! {
        <div role="alert">
            {move || {
                value
                    .with(|value| match value {
                        Some(Err(error)) => Some(error.to_string()),
                        _ => None,
                    })
                    .map(|message| view! { <p class="form-error">{message}</p> })
            }}
        </div>
    }
}
