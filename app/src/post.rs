//! Posting a form to a server function, with or without JavaScript.

use leptos::form::form_data_from_event;
use leptos::prelude::*;
use leptos::server::ServerActionError;
use leptos::server_fn::ServerFn;
use leptos::server_fn::error::ServerFnUrlError;
use leptos::task::spawn_local;
use serde::de::DeserializeOwned;
use web_sys::{SubmitEvent, UrlSearchParams};

use crate::erase::ErasedChildren;
use crate::error::AppError;
use crate::read::decode;
use crate::transport;
use crate::view::Done;

/// A server function as a form uses it.
pub struct Post<T: Send + Sync + 'static = Done> {
    path: &'static str,
    pub pending: RwSignal<bool>,
    pub answer: RwSignal<Option<Result<T, AppError>>>,
}

impl<T: Send + Sync + 'static> Clone for Post<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Send + Sync + 'static> Copy for Post<T> {}

impl<T: DeserializeOwned + Send + Sync + 'static> Post<T> {
    /// A form's view of the server function `F`.
    pub fn to<F: ServerFn<Output = T, Error = AppError>>() -> Self {
        // A form posted without JavaScript comes back with the error in the address.
        let refused = use_context::<ServerActionError>()
            .filter(|error| error.path() == F::PATH)
            .map(|error| Err(ServerFnUrlError::<AppError>::decode_err(error.err())));
        Self { path: F::PATH, pending: RwSignal::new(false), answer: RwSignal::new(refused) }
    }

    /// Posts these fields, form-encoded.
    pub fn send(self, body: String) {
        self.pending.set(true);
        spawn_local(async move {
            let answer = transport::post(self.path, body).await.and_then(|text| decode(&text));
            self.pending.try_set(false);
            self.answer.try_set(Some(answer));
        });
    }

    fn submit(self, event: SubmitEvent) {
        event.prevent_default();
        if let Ok(data) = form_data_from_event(&event)
            && let Ok(fields) = UrlSearchParams::new_with_str_sequence_sequence(&data)
        {
            self.send(String::from(fields.to_string()));
        }
    }
}

/// The form of a [`Post`].
#[component]
pub fn PostForm<T: DeserializeOwned + Send + Sync + 'static>(
    post: Post<T>,
    #[prop(optional)] class: &'static str,
    children: ErasedChildren,
) -> impl IntoView {
    view! {
        <form method="post" action=post.path class=class on:submit=move |event| post.submit(event)>
            {children.view()}
        </form>
    }
}
