//! Sign in: with a password, by a one-time link, or with an API key. The first link makes the first admin.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::read::{self, Loaded, decode};
use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_navigate, use_query_map};

use crate::components::{FormError, Mark};
use crate::server_fns::{Join, ResetPassword, SignInWith};
use crate::view::{Done, LinkPurpose};

#[component]
pub fn SignInPage() -> impl IntoView {
    let query = use_query_map();
    let part = move |name: &str| query.with_untracked(|query| query.get(name)).unwrap_or_default();
    let token = part("token");
    let body = if token.is_empty() {
        view! { <Credentials next=next_of(part("next")) /> }.erased()
    } else {
        view! { <ByLink token=token /> }.erased()
    };
    view! {
        <main class="sign-in" id="main">
            <div class="brand large">
                <Mark />
                <span>"Slipway"</span>
            </div>
            {body}
        </main>
    }
}

/// The page to go to: one of this server.
fn next_of(text: String) -> String {
    if text.starts_with('/') && !text.starts_with("//") { text } else { "/models".into() }
}

/// Goes on once a form has signed somebody in.
fn go_when_done(post: Post<Done>, next: String) {
    let navigate = use_navigate();
    Effect::new(move || {
        if let Some(Ok(_)) = post.answer.get() {
            navigate(&next, NavigateOptions { replace: true, ..Default::default() });
        }
    });
}

/// For who is here already: one form, so that it works whichever way is filled in.
#[component]
fn Credentials(next: String) -> impl IntoView {
    let sign_in = Post::to::<SignInWith>();
    go_when_done(sign_in, next.clone());
    view! {
        <Title text="Sign in" />
        <h1>"Sign in"</h1>
        <PostForm post=sign_in>
            <input type="hidden" name="next" value=next />
            <label class="field">
                <span>"E-mail address"</span>
                <input type="email" name="email" autocomplete="username" spellcheck="false" autofocus />
            </label>
            <label class="field">
                <span>"Password"</span>
                <input type="password" name="password" autocomplete="current-password" />
            </label>
            <p class="or">"or"</p>
            <label class="field">
                <span>"API key"</span>
                <input type="password" name="key" autocomplete="off" spellcheck="false" />
            </label>
            <button type="submit" class="primary wide" disabled=move || sign_in.pending.get()>
                "Sign in"
            </button>
            <FormError post=sign_in />
        </PostForm>
        <p class="hint">
            "New here, or the password is lost? An admin invites you; " <code>"slipway login"</code>
            " on the server prints a link that lets you in."
        </p>
    }
}

/// For whoever comes by a link: what it is for decides what is asked.
#[component]
fn ByLink(token: String) -> impl IntoView {
    let kept = token.clone();
    provide_context(LinkToken(token));
    view! {
        <Loaded
            which=Signal::derive(move || vec![kept.clone()])
            read=|mut which| read::link(which.remove(0))
            body=|text| {
                let token = use_context::<LinkToken>().map(|token| token.0).unwrap_or_default();
                let purpose = decode::<LinkPurpose>(text)?;
                Ok(view! { <Link token=token purpose=purpose /> }.erased())
            }
        />
    }
}

#[derive(Clone)]
struct LinkToken(String);

#[component]
fn Link(token: String, purpose: LinkPurpose) -> impl IntoView {
    match purpose {
        LinkPurpose::FirstAdmin => view! {
            <Title text="Welcome" />
            <h1>"Welcome to Slipway"</h1>
            <p>"Nobody is here yet. You become the first admin: you invite others and say what they may do."</p>
            <Joining token=token email=None act="Become the first admin" />
        }
        .erased(),
        LinkPurpose::Invitation { email, role, invited_by } => view! {
            <Title text="Join" />
            <h1>"Join Slipway"</h1>
            <p>{format!("{invited_by} invited you as {}.", role.as_str())}</p>
            <Joining token=token email=Some(email) act="Join" />
        }
        .erased(),
        LinkPurpose::SignIn { email } => view! { <Returning token=token email=email /> }.erased(),
    }
}

/// Becoming a person here.
#[component]
fn Joining(token: String, email: Option<String>, act: &'static str) -> impl IntoView {
    let join = Post::to::<Join>();
    go_when_done(join, "/models".into());
    let invited = email.is_some();
    view! {
        <PostForm post=join>
            <input type="hidden" name="token" value=token />
            <label class="field">
                <span>"E-mail address"</span>
                <input
                    type="email"
                    name="email"
                    value=email.unwrap_or_default()
                    readonly=invited
                    required
                    autocomplete="username"
                    spellcheck="false"
                    autofocus=!invited
                />
            </label>
            <label class="field">
                <span>"Your name"</span>
                <input name="name" maxlength="100" autocomplete="name" autofocus=invited />
            </label>
            <NewPassword />
            <button type="submit" class="primary wide" disabled=move || join.pending.get()>
                {act}
            </button>
            <FormError post=join />
        </PostForm>
        <p class="hint">"The address is your name for signing in. Nothing is sent there."</p>
    }
}

#[component]
pub fn NewPassword() -> impl IntoView {
    view! {
        <label class="field">
            <span>"New password"</span>
            <input
                type="password"
                name="password"
                required
                minlength=domain::PASSWORD_LEAST.to_string()
                autocomplete="new-password"
                aria-describedby="password-hint"
            />
        </label>
        <p class="hint" id="password-hint">
            {format!("At least {} characters; several words are easy to remember.", domain::PASSWORD_LEAST)}
        </p>
    }
}

/// Signing in by a link; a button, so that a scanner that follows links does not use it up.
#[component]
fn Returning(token: String, email: String) -> impl IntoView {
    let sign_in = Post::to::<SignInWith>();
    let reset = Post::to::<ResetPassword>();
    go_when_done(sign_in, "/models".into());
    go_when_done(reset, "/models".into());
    let again = token.clone();
    view! {
        <Title text="Sign in" />
        <h1>"Sign in"</h1>
        <p>"This link signs in " <strong>{email}</strong> ". It works once."</p>
        <PostForm post=sign_in>
            <input type="hidden" name="token" value=again />
            <button type="submit" class="primary wide" disabled=move || sign_in.pending.get()>
                "Sign in"
            </button>
            <FormError post=sign_in />
        </PostForm>
        <details>
            <summary>"The password is lost: choose another one"</summary>
            <PostForm post=reset>
                <input type="hidden" name="token" value=token />
                <NewPassword />
                <button type="submit" class="wide" disabled=move || reset.pending.get()>
                    "Change the password and sign in"
                </button>
                <FormError post=reset />
            </PostForm>
        </details>
    }
}
