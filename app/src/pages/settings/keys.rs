//! API keys: what programs prove themselves with.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::read::{self, Loaded, decode};
use leptos::prelude::*;
use leptos_router::components::A;

use super::{Confirm, Head, Listed, Once, refresh_when_made};
use crate::components::{FormError, Gone, TimeAgo, provide_refresh};
use crate::fresh::keep_fresh;
use crate::live::Topic;
use crate::server_fns::{CreateKey, RevokeKey};
use crate::view::{KeyChoice, KeyRow, KeysPage, ModelChoice};

#[component]
pub fn Keys() -> impl IntoView {
    view! {
        <Loaded
            which=Signal::derive(Vec::new)
            read=|_| read::keys()
            body=|text| {
                let initial = decode::<KeysPage>(text)?;
                Ok(view! { <Body initial=initial /> }.erased())
            }
        />
    }
}

#[component]
fn Body(initial: KeysPage) -> impl IntoView {
    let (choices, models) = (initial.choices.clone(), initial.models.clone());
    let environments = initial.environments.clone();
    let fresh = keep_fresh(initial, Topic::Models, |_| false, read::keys);
    provide_refresh(move || fresh.refresh());
    let page = fresh.value;
    let as_of = Signal::derive(move || page.with(|page| page.as_of));
    let is_empty = Memo::new(move |_| page.with(|page| page.keys.is_empty()));
    let form = (!choices.is_empty()).then(|| {
        view! { <NewKey choices=choices models=models environments=environments /> }
    });
    view! {
        <Gone error=fresh.gone />
        <Head title="API keys" path="/settings/keys" headline=Signal::derive(move || page.with(|page| page.headline.clone()))>
            <A href="/reference" attr:class="button plain">
                "API reference"
            </A>
        </Head>
        {move || {
            is_empty
                .get()
                .then(|| view! { <p class="none">"There is no key yet. Make one for each program that calls or pushes."</p> })
        }}
        <Listed
            label="API keys"
            caption="Keys that work, newest first"
            columns=&["Name", "Begins with", "May", "Models", "Environments", "Made", "Last used"]
            hidden=is_empty
        >
                    <For each=move || page.with(|page| page.keys.clone()) key=|row| serde_json::to_string(row).unwrap_or_default() let(row)>
                        {key(row, as_of)}
                    </For>
        </Listed>
        {form}
    }
}

fn key(row: KeyRow, as_of: Signal<domain::Timestamp>) -> impl IntoView {
    let KeyRow { prefix, name, may, owner, models, environments, created_at, last_used_at } = row;
    let limit = |list: Option<Vec<String>>| list.map_or("all".to_owned(), |list| list.join(", "));
    let (models, environments) = (limit(models), limit(environments));
    let owner = owner.map(|owner| view! { <span class="under">{format!("{owner}'s own")}</span> });
    let label = name.clone();
    view! {
        <tr aria-label=label>
            <th scope="row">{name.clone()} {owner}</th>
            <td>
                <code>{prefix.clone()}</code>
            </td>
            <td>{may}</td>
            <td>{models}</td>
            <td>{environments}</td>
            <td>
                <TimeAgo at=created_at as_of=as_of />
            </td>
            <td>
                {match last_used_at {
                    Some(at) => view! { <TimeAgo at=at as_of=as_of /> }.erased(),
                    None => "never".erased(),
                }}
            </td>
            <td class="acts">
                <Confirm
                    post={Post::to::<RevokeKey>()}
                    act="Revoke"
                    name=name
                    field=("prefix", prefix)
                    says="Whatever uses it is refused at once, and it never works again."
                />
            </td>
        </tr>
    }
}

#[component]
fn NewKey(choices: Vec<KeyChoice>, models: Vec<ModelChoice>, environments: Vec<String>) -> impl IntoView {
    let create = Post::to::<CreateKey>();
    refresh_when_made(create);
    let limitable = choices.iter().any(|choice| choice.limited) && !models.is_empty();
    let kinds = choices
        .into_iter()
        .map(|choice| view! { <option value=choice.value>{choice.title}</option> })
        .collect_view();
    let limit = limitable.then(|| {
        let models = models
            .into_iter()
            .map(|model| view! { <option value=model.id>{model.name}</option> })
            .collect_view();
        let environments = environments
            .into_iter()
            .map(|name| view! { <option value=name.clone()>{name.clone()}</option> })
            .collect_view();
        view! {
            <label class="field">
                <span>"Model"</span>
                <select name="models" aria-describedby="models-hint">
                    <option value="">"all"</option>
                    {models}
                </select>
            </label>
            <label class="field">
                <span>"Environment"</span>
                <select name="environments" aria-describedby="models-hint">
                    <option value="">"all"</option>
                    {environments}
                </select>
            </label>
            <p class="hint" id="models-hint">
                "Only a key that calls models or reads metrics can be limited to one; the API takes several. Limited to an environment, it calls by the environment's own addresses only."
            </p>
        }
    });
    view! {
        <section aria-labelledby="new-key">
            <h2 id="new-key">"New key"</h2>
            <PostForm post=create class="stack">
                <label class="field">
                    <span>"Name"</span>
                    <input
                        name="name"
                        placeholder="ci"
                        required
                        maxlength="100"
                        pattern="[a-z0-9\\-]+"
                        autocomplete="off"
                        spellcheck="false"
                        aria-describedby="key-name-hint"
                    />
                </label>
                <p class="hint" id="key-name-hint">"Lower-case letters, digits and hyphens, at most 100."</p>
                <label class="field">
                    <span>"May"</span>
                    <select name="kind">{kinds}</select>
                </label>
                {limit}
                <button type="submit" class="primary" disabled=move || create.pending.get()>
                    "Make a key"
                </button>
                <FormError post=create />
            </PostForm>
            <Once post=create what="API key" />
        </section>
    }
}
