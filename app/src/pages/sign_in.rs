//! Sign in: with a one-time link, or with an API key.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_navigate, use_query_map};

use crate::components::{FormError, Mark};
use crate::server_fns::SignInWith;
use crate::transport;

#[component]
pub fn SignInPage() -> impl IntoView {
    let sign_in = Post::to::<SignInWith>();
    let query = use_query_map();
    let token = query.with_untracked(|query| query.get("token")).filter(|token| !token.is_empty());
    let next = query
        .with_untracked(|query| query.get("next"))
        .filter(|next| next.starts_with('/') && !next.starts_with("//"))
        .unwrap_or_else(|| "/models".into());
    let value = sign_in.answer;
    let navigate = use_navigate();
    let to = next.clone();
    Effect::new(move || {
        if let Some(Ok(_)) = value.get() {
            navigate(&to, NavigateOptions { replace: true, ..Default::default() });
        }
    });
    // The link alone signs in, once the page lives; the button is for those without JavaScript and
    // keeps a mail scanner that follows links from using up the token.
    let link = token.clone();
    let link_next = next.clone();
    Effect::new(move || {
        if let Some(token) = link.clone() {
            sign_in.send(transport::form(&[("token", &token), ("next", &link_next)]));
        }
    });
    let with_key = format!("/sign-in?next={next}");
    let form = match token {
        Some(token) => view! {
            <PostForm post=sign_in>
                <input type="hidden" name="token" value=token />
                <input type="hidden" name="next" value=next.clone() />
                <p>"You came by a sign-in link. It works once."</p>
                <button type="submit" class="primary wide" disabled=move || sign_in.pending.get()>
                    "Sign in"
                </button>
                <FormError post=sign_in />
            </PostForm>
            <p class="hint">
                "The link was used already? Print a fresh one with " <code>"slipway login"</code> ", or "
                <a href=with_key>"sign in with an API key"</a> "."
            </p>
        }
        .erased(),
        None => view! {
            <PostForm post=sign_in>
                <input type="hidden" name="next" value=next />
                <label class="field">
                    <span>"API key"</span>
                    <input
                        type="password"
                        name="key"
                        required
                        autocomplete="current-password"
                        spellcheck="false"
                        autofocus
                    />
                </label>
                <button type="submit" class="primary wide" disabled=move || sign_in.pending.get()>
                    "Sign in"
                </button>
                <FormError post=sign_in />
            </PostForm>
            <p class="hint">
                "No key at hand? " <code>"slipway login"</code> " on the server prints a link that signs you in."
            </p>
        }
        .erased(),
    };
    view! {
        <Title text="Sign in" />
        <main class="sign-in" id="main">
            <div class="brand large">
                <Mark />
                <span>"Slipway"</span>
            </div>
            <h1>"Sign in"</h1>
            {form}
        </main>
    }
}
