//! What a page shows when it has nothing else to show.

use crate::erase::Erase;
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::NavigateOptions;
use leptos_router::components::A;
use leptos_router::hooks::{use_location, use_navigate};

use crate::error::AppError;

/// Short: pages arrive rendered, this shows only while a link is followed.
#[component]
pub fn Loading() -> impl IntoView {
    view! { <p class="loading" role="status">"Loading…"</p> }
}

/// A page that could not be shown: why, and what to do. Sends those who are not signed in to sign in.
#[component]
pub fn ErrorView(error: AppError) -> impl IntoView {
    #[cfg(feature = "ssr")]
    answer_with(&error);
    if error == AppError::Unauthorized {
        return view! { <SignInFirst /> }.erased();
    }
    let title = match &error {
        AppError::NotFound { .. } => "Not found",
        AppError::Forbidden { .. } => "Not permitted",
        AppError::Connection { .. } => "No answer",
        _ => "This page could not be shown",
    };
    view! {
        <Title text=title />
        <section class="empty">
            <h1>{title}</h1>
            <p>{error.to_string()}</p>
            <p>
                <A href="/models">"All models"</A>
            </p>
        </section>
    }
    .erased()
}

#[component]
fn SignInFirst() -> impl IntoView {
    let navigate = use_navigate();
    let path = sign_in_path();
    let to = path.clone();
    Effect::new(move || navigate(&to, NavigateOptions { replace: true, ..Default::default() }));
    view! {
        <section class="empty">
            <h1>"Sign in to go on"</h1>
            <p>
                <A href=path>"Sign in"</A>
            </p>
        </section>
    }
}

/// The sign-in page, with the way back to this one.
fn sign_in_path() -> String {
    let location = use_location();
    let path = location.pathname.get_untracked();
    if path == "/" || path == "/models" { "/sign-in".into() } else { format!("/sign-in?next={path}") }
}

/// A notice over a page whose subject is gone or can no longer be read; the page stays readable.
#[component]
pub fn Gone(error: RwSignal<Option<AppError>>) -> impl IntoView {
    move || {
        error.get().map(|error| match error {
            AppError::Unauthorized => view! { <SignInFirst /> }.erased(),
            error => view! {
                <div class="notice bad" role="alert">
                    <p>{error.to_string()} " What you see is how it was."</p>
                    <p>
                        <A href="/models">"All models"</A>
                    </p>
                </div>
            }
            .erased(),
        })
    }
}

/// The page's own status: not found is 404, not signed in goes to the sign-in page.
#[cfg(feature = "ssr")]
fn answer_with(error: &AppError) {
    let Some(response) = use_context::<leptos_axum::ResponseOptions>() else { return };
    if *error == AppError::Unauthorized {
        leptos_axum::redirect(&sign_in_path());
    } else if let Ok(status) = http::StatusCode::from_u16(error.status()) {
        response.set_status(status);
    }
}
