//! Who may change an environment: shown to everybody, said by admins.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use leptos::prelude::*;

use super::{FormError, when_done};
use crate::server_fns::RestrictEnvironment;
use crate::view::{AccessPerson, AccessView};

/// The section of an environment's page.
#[component]
pub fn AccessSection(environment: String, #[prop(into)] access: Signal<AccessView>) -> impl IntoView {
    let sentence = Signal::derive(move || access.with(|access| access.sentence.clone()));
    let restricted = Memo::new(move |_| access.with(|access| access.is_restricted));
    let refused = access.with_untracked(|access| access.permit.reason().map(str::to_owned));
    let form = match refused {
        Some(why) => view! { <p class="hint">{why}</p> }.erased(),
        None => view! { <AccessForm environment=environment access=access.get_untracked() /> }.erased(),
    };
    view! {
        <section class="settings" aria-labelledby="access">
            <h2 id="access">"Who may change it"</h2>
            <p>
                {move || restricted.get().then(|| view! { <span class="chip">"restricted"</span> " " })} {sentence}
            </p>
            {form}
        </section>
    }
}

#[component]
fn AccessForm(environment: String, access: AccessView) -> impl IntoView {
    let restrict = Post::to::<RestrictEnvironment>();
    when_done(restrict, || ());
    view! {
        <PostForm post=restrict>
            <input type="hidden" name="environment" value=environment />
            <AccessFields restricted=access.is_restricted people=access.people />
            <FormError post=restrict />
            <button type="submit" class="plain" disabled=move || restrict.pending.get()>
                "Save access"
            </button>
        </PostForm>
    }
}

/// The restriction and its people, inside a form.
#[component]
pub fn AccessFields(restricted: bool, people: Vec<AccessPerson>) -> impl IntoView {
    let anybody = !people.is_empty();
    let choices = people
        .into_iter()
        .map(|AccessPerson { id, name, chosen }| {
            view! {
                <label class="check">
                    <input type="checkbox" name="people[]" value=id checked=chosen />
                    <span>{name}</span>
                </label>
            }
        })
        .collect_view();
    view! {
        <label class="check">
            <input type="checkbox" name="restricted" value="true" checked=restricted />
            <span>"Restricted: only admins and the people chosen here change it, in every model"</span>
        </label>
        {anybody
            .then(|| {
                view! {
                    <fieldset class="choices">
                        <legend>"People who may, beside admins"</legend>
                        {choices}
                    </fieldset>
                }
            })}
        <p class="hint">"Everybody else goes on looking at it and calling it."</p>
    }
}
