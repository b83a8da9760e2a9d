use leptos::prelude::*;

use crate::components::ErrorView;
use crate::error::AppError;

#[component]
pub fn NotFound() -> impl IntoView {
    let message = "There is no page at this address. It may have been mistyped, or what it showed is gone.";
    view! {
        <main id="main">
            <ErrorView error=AppError::not_found(message) />
        </main>
    }
}
