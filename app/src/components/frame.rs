//! What is around every page: the rail with its ways, and the news.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::read::{self, Loaded, decode};
use crate::view::SessionInfo;
use leptos::prelude::*;
use leptos_router::components::{A, Outlet};

use super::{LiveIndicator, ThemeChoice, Toasts};
use crate::server_fns::SignOut;

#[component]
pub fn Frame() -> impl IntoView {
    view! {
        <a class="skip" href="#main">
            "Skip to the page"
        </a>
        <div class="frame">
            <header class="rail">
                <A href="/models" attr:class="brand" attr:aria-label="Slipway: models">
                    <Mark />
                    <span>"Slipway"</span>
                </A>
                <nav aria-label="Main">
                    <A href="/models">
                        <svg viewBox="0 0 20 20" aria-hidden="true">
                            <path d="M10 2 17 6v8l-7 4-7-4V6zM3 6l7 4 7-4M10 10v8"></path>
                        </svg>
                        <span>"Models"</span>
                    </A>
                    <A href="/usage">
                        <svg viewBox="0 0 20 20" aria-hidden="true">
                            <path d="M3 17V9h3.5v8zM8.25 17V3h3.5v14zM13.5 17v-5H17v5z"></path>
                        </svg>
                        <span>"Usage"</span>
                    </A>
                    <A href="/activity">
                        <svg viewBox="0 0 20 20" aria-hidden="true">
                            <path d="M10 3a7 7 0 1 1-6.1 3.6M3 3v4h4M10 6.5V10l2.5 2"></path>
                        </svg>
                        <span>"Activity"</span>
                    </A>
                    <A href="/settings/people">
                        <svg viewBox="0 0 20 20" aria-hidden="true">
                            <path d="M7.5 9.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6M2 17c0-3 2.5-5 5.5-5s5.5 2 5.5 5M13 3.8a3 3 0 0 1 0 5.4M15 12.6c1.8.7 3 2.3 3 4.4"></path>
                        </svg>
                        <span>"Settings"</span>
                    </A>
                </nav>
                <div class="foot">
                    <LiveIndicator />
                    <ThemeChoice />
                    <Account />
                </div>
            </header>
            <main id="main" tabindex="-1">
                <Outlet />
            </main>
        </div>
        <Toasts />
    }
}

/// The ramp: three steps up, the first one lit.
#[component]
pub fn Mark() -> impl IntoView {
    view! {
        <svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
            <rect class="ground" width="32" height="32" rx="7"></rect>
            <path class="lit" d="M6 24h5v-4H6z"></path>
            <path class="step" d="M13.5 24h5v-9h-5zM21 24h5V8h-5z"></path>
        </svg>
    }
}

/// Who is signed in, and the way out.
#[component]
fn Account() -> impl IntoView {
    view! {
        <Loaded
            which=Signal::derive(Vec::new)
            read=|_| read::session()
            body=|text| {
                let session = decode::<SessionInfo>(text)?;
                Ok(view! { <SignedIn session=session /> }.erased())
            }
            quiet=true
        />
    }
}

#[component]
fn SignedIn(session: SessionInfo) -> impl IntoView {
    let sign_out = Post::to::<SignOut>();
    Effect::new(move || {
        if let Some(Ok(_)) = sign_out.answer.get() {
            // A whole load: nothing of the session stays in memory.
            let _ = window().location().set_href("/sign-in");
        }
    });
    view! {
        <div class="account">
            <p title=format!("Slipway {}", session.version)>{session.name}</p>
            <PostForm post=sign_out>
                <button type="submit" class="quiet">
                    "Sign out"
                </button>
            </PostForm>
        </div>
    }
}
