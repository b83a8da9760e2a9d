//! Secrets: what models may read and nobody may see.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::read::{self, Loaded, decode};
use leptos::prelude::*;

use super::{Confirm, Head, Listed};
use crate::components::{FormError, Gone, TimeAgo, provide_refresh, when_done};
use crate::fresh::keep_fresh;
use crate::live::Topic;
use crate::server_fns::{DeleteSecret, SetSecret};
use crate::view::{SecretRow, SecretsPage};

#[component]
pub fn Secrets() -> impl IntoView {
    view! {
        <Loaded
            which=Signal::derive(Vec::new)
            read=|_| read::secrets()
            body=|text| {
                let initial = decode::<SecretsPage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

#[component]
fn Body(initial: SecretsPage) -> impl IntoView {
    let fresh = keep_fresh(initial, Topic::Models, |_| false, read::secrets);
    provide_refresh(move || fresh.refresh());
    let page = fresh.value;
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    let is_empty = Memo::new(move |_| page.with(|page| page.secrets.is_empty()));
    let may = Memo::new(move |_| page.with(|page| page.refused.is_none()));
    view! {
        <Gone error=fresh.gone />
        <Head title="Secrets" path="/settings/secrets" headline=Signal::derive(move || page.with(|page| page.headline.clone())) />
        {move || page.with(|page| page.refused.clone()).map(|why| view! { <p class="notice">{why}</p> })}
        {move || {
            is_empty
                .get()
                .then(|| {
                    view! {
                        <p class="none">
                            "There is no secret yet. A model reads one that its configuration names under " <code>"secrets"</code> "."
                        </p>
                    }
                })
        }}
        <Listed
            label="Secrets"
            caption="Secrets by name; their values are shown to nobody"
            columns=&["Name", "Made", "Last changed"]
            hidden=is_empty
        >
                    <For each=move || page.with(|page| page.secrets.clone()) key=|row| (row.name.clone(), row.updated_at) let(row)>
                        {secret(row, may, as_of)}
                    </For>
        </Listed>
        {move || may.get().then(|| view! { <SetForm /> })}
    }
}

fn secret(row: SecretRow, may: Memo<bool>, as_of: Signal<domain::Timestamp>) -> impl IntoView {
    let name = row.name.clone();
    let label = row.name.clone();
    view! {
        <tr aria-label=label>
            <th scope="row">
                <code>{row.name}</code>
            </th>
            <td>
                <TimeAgo at=row.created_at as_of=as_of />
            </td>
            <td>
                <TimeAgo at=row.updated_at as_of=as_of />
            </td>
            <td class="acts">
                {move || {
                    may.get()
                        .then(|| {
                            view! {
                                <Confirm
                                    post={Post::to::<DeleteSecret>()}
                                    act="Delete"
                                    name=name.clone()
                                    field=("name", name.clone())
                                    says="Replicas that run keep it; those that start from then on go without."
                                />
                            }
                        })
                }}
            </td>
        </tr>
    }
}

#[component]
fn SetForm() -> impl IntoView {
    let set = Post::to::<SetSecret>();
    let (name, value) = (RwSignal::new(String::new()), RwSignal::new(String::new()));
    when_done(set, move || {
        name.set(String::new());
        value.set(String::new());
    });
    view! {
        <section aria-labelledby="set-secret">
            <h2 id="set-secret">"Set a secret"</h2>
            <PostForm post=set class="stack">
                <label class="field">
                    <span>"Name"</span>
                    <input
                        name="name"
                        placeholder="hf_access_token"
                        required
                        maxlength="253"
                        autocomplete="off"
                        spellcheck="false"
                        bind:value=name
                    />
                </label>
                <label class="field">
                    <span>"Value"</span>
                    <input type="password" name="value" required autocomplete="off" spellcheck="false" bind:value=value />
                </label>
                <p class="hint">"A name that is taken gets the new value: replicas that start from then on read it."</p>
                <button type="submit" class="primary" disabled=move || set.pending.get()>
                    "Set the secret"
                </button>
                <FormError post=set />
            </PostForm>
        </section>
    }
}
