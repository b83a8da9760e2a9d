//! One's own account.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::read::{self, Loaded, decode};
use leptos::prelude::*;

use super::Head;
use crate::components::{FormError, when_done};
use crate::pages::sign_in::NewPassword;
use crate::server_fns::{ChangePassword, SignOutElsewhere};
use crate::view::SessionInfo;

#[component]
pub fn Account() -> impl IntoView {
    view! {
        <Loaded
            which=Signal::derive(Vec::new)
            read=|_| read::session()
            body=|text| {
                let session = decode::<SessionInfo>(text)?;
                Ok(view! { <Body session=session /> }.erased())
            }
        />
    }
}

#[component]
fn Body(session: SessionInfo) -> impl IntoView {
    let SessionInfo { name, email, role, .. } = session;
    let is_person = email.is_some();
    let headline = match &email {
        Some(email) => format!("You are {email}, {}.", role.as_str()),
        None => format!("You are signed in with the API key `{name}`, which is {}.", role.as_str()),
    };
    view! {
        <Head title="Your account" path="/settings/account" headline=headline />
        {if is_person {
            view! {
                <Password />
                <Elsewhere />
            }
                .erased()
        } else {
            view! { <p class="none">"A key has no password. Sign in as a person to change yours."</p> }.erased()
        }}
    }
}

#[component]
fn Password() -> impl IntoView {
    let change = Post::to::<ChangePassword>();
    when_done(change, || {});
    view! {
        <section aria-labelledby="password">
            <h2 id="password">"Password"</h2>
            <PostForm post=change class="stack">
                <label class="field">
                    <span>"Present password"</span>
                    <input type="password" name="current" required autocomplete="current-password" />
                </label>
                <NewPassword />
                <button type="submit" class="primary" disabled=move || change.pending.get()>
                    "Change the password"
                </button>
                <FormError post=change />
            </PostForm>
        </section>
    }
}

#[component]
fn Elsewhere() -> impl IntoView {
    let end = Post::to::<SignOutElsewhere>();
    when_done(end, || {});
    view! {
        <section aria-labelledby="elsewhere">
            <h2 id="elsewhere">"Other browsers"</h2>
            <PostForm post=end class="stack">
                <p class="hint">"A session lasts 30 days. This ends all of yours but this one."</p>
                <button type="submit" disabled=move || end.pending.get()>
                    "Sign out everywhere else"
                </button>
                <FormError post=end />
            </PostForm>
        </section>
    }
}
