//! What forms share: how they end well, and how they show that they did not.

use leptos::prelude::*;
use leptos::server_fn::ServerFn;

use super::use_toasts;
use crate::error::AppError;
use crate::view::Done;

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
pub fn when_done<F>(action: ServerAction<F>, then: impl Fn() + 'static)
where
    F: ServerFn<Output = Done, Error = AppError> + Clone + Send + Sync + 'static,
{
    let toasts = use_toasts();
    let refresh = use_context::<Refresh>();
    let value = action.value();
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
pub fn FormError<F>(action: ServerAction<F>) -> impl IntoView
where
    F: ServerFn<Error = AppError> + Clone + Send + Sync + 'static,
    F::Output: Clone + Send + Sync + 'static,
{
    let value = action.value();
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
