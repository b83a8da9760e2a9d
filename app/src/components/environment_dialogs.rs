//! Dialogs over one environment. Each names the thing, the consequence and the gentler way.

use domain::RollingConfig;
use leptos::prelude::*;

use super::dialog::{DialogButtons, Modal};
use super::{AccessFields, FormError, RollingFields, when_done};
use crate::erase::Erase;
use crate::post::{Post, PostForm};
use crate::server_fns::{ActivateEnvironment, CreateEnvironment, DeactivateEnvironment, DeleteEnvironment};
use crate::view::AccessPerson;

#[component]
pub fn NewEnvironmentDialog(
    model_id: String,
    /// Who may be chosen for a restricted one; nothing if who looks may not restrict.
    people: Option<Vec<AccessPerson>>,
) -> impl IntoView {
    let create = Post::to::<CreateEnvironment>();
    view! {
        <Modal
            title="Add environment".into()
            children=Box::new(move |handle| {
                when_done(create, move || handle.close());
                view! {
                    <PostForm post=create>
                        <input type="hidden" name="model_id" value=model_id />
                        <p>"An environment is a stable address. It serves the deployment that was last promoted to it, and its settings stay when another one is."</p>
                        <label class="field">
                            <span>"Name"</span>
                            <input
                                name="name"
                                placeholder="staging"
                                required
                                maxlength="40"
                                pattern="[a-z0-9]([a-z0-9\\-]*[a-z0-9])?"
                                autocomplete="off"
                                spellcheck="false"
                                aria-describedby="name-hint"
                                autofocus
                            />
                        </label>
                        <p class="hint" id="name-hint">"Lower-case letters, digits and hyphens, at most 40."</p>
                        <div class="pair">
                            <label class="field">
                                <span>"Min replicas"</span>
                                <input type="number" name="min_replica" value="0" min="0" max="1000" required />
                            </label>
                            <label class="field">
                                <span>"Max replicas"</span>
                                <input type="number" name="max_replica" value="1" min="1" max="1000" required />
                            </label>
                        </div>
                        <label class="check">
                            <input type="checkbox" name="ramp_up_while_promoting" value="true" />
                            <span>"Canary: promotions move traffic in ten stages"</span>
                        </label>
                        <label class="field">
                            <span>"Length of the canary"</span>
                            <input name="ramp_up_duration" value="10m" required autocomplete="off" spellcheck="false" />
                        </label>
                        <RollingFields on=false config=RollingConfig::default() />
                        {people.map(|people| view! { <AccessFields restricted=false people=people /> })}
                        <p class="hint">"All settings can be changed later on its page."</p>
                        <FormError post=create />
                        <DialogButtons act="Create environment" pending=create.pending />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

#[component]
pub fn ActivateEnvironmentDialog(model_id: String, name: String, serving: String) -> impl IntoView {
    let activate = Post::to::<ActivateEnvironment>();
    view! {
        <Modal
            title=format!("Activate {name}")
            children=Box::new(move |handle| {
                when_done(activate, move || handle.close());
                view! {
                    <PostForm post=activate>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="environment" value=name.clone() />
                        <p>
                            <strong>{serving}</strong>
                            " starts again from its existing build. "
                            {name}
                            " answers requests as soon as its first replica is ready."
                        </p>
                        <FormError post=activate />
                        <DialogButtons act="Activate" pending=activate.pending />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

#[component]
pub fn DeactivateEnvironmentDialog(model_id: String, name: String, serving: String) -> impl IntoView {
    let deactivate = Post::to::<DeactivateEnvironment>();
    view! {
        <Modal
            title=format!("Deactivate {name}")
            destructive=true
            children=Box::new(move |handle| {
                when_done(deactivate, move || handle.close());
                view! {
                    <PostForm post=deactivate>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="environment" value=name.clone() />
                        <p>
                            <strong>{serving}</strong>
                            " finishes the requests it has, then frees its compute. From then on every request to "
                            <strong>{name}</strong>
                            " answers 404. Its address and its settings stay, and you can activate it again at any time."
                        </p>
                        <p class="notice">
                            "With " <strong>"min replicas 0"</strong>
                            " it frees its compute by itself while nobody calls, and the next request wakes it."
                        </p>
                        <FormError post=deactivate />
                        <DialogButtons act="Deactivate" pending=deactivate.pending destructive=true />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

#[component]
pub fn DeleteEnvironmentDialog(
    model_id: String,
    name: String,
    /// The name of what it serves.
    serving: Option<String>,
    /// Whether a promotion into it runs.
    promoting: bool,
    /// Where to go when its page is gone.
    #[prop(into)]
    then: Callback<()>,
) -> impl IntoView {
    let delete = Post::to::<DeleteEnvironment>();
    let typed = RwSignal::new(String::new());
    view! {
        <Modal
            title=format!("Delete {name}")
            destructive=true
            children=Box::new(move |handle| {
                when_done(
                    delete,
                    move || {
                        handle.close();
                        then.run(());
                    },
                );
                let expected = name.clone();
                // Without JavaScript the button stays usable and the server compares the name.
                let blocked = Signal::derive(move || {
                    let typed = typed.get();
                    !typed.is_empty() && typed.trim() != expected
                });
                let becomes = match &serving {
                    Some(serving) => {
                        format!("{serving} stays: it goes to sleep, and a call to its own address wakes it.")
                    }
                    None => "Nothing is promoted there.".to_owned(),
                };
                let gentler = serving
                    .is_some()
                    .then(|| {
                        view! {
                            <p class="notice">
                                <strong>"Deactivate"</strong>
                                " frees its compute and keeps its address and settings. Choose that if you may want it back."
                            </p>
                        }
                    });
                view! {
                    <PostForm post=delete>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="environment" value=name.clone() />
                        <p>
                            <strong>{name.clone()}</strong>
                            " is deleted for good with its settings, and requests to its address answer 404. "
                            {becomes}
                        </p>
                        {promoting
                            .then(|| {
                                view! { <p class="notice warn">"The promotion that is under way is canceled."</p> }
                            })}
                        {gentler}
                        <label class="field">
                            <span>"Type the name to confirm"</span>
                            <input
                                name="confirm"
                                placeholder=name
                                required
                                autocomplete="off"
                                spellcheck="false"
                                bind:value=typed
                            />
                        </label>
                        <FormError post=delete />
                        <DialogButtons act="Delete" pending=delete.pending destructive=true blocked=blocked />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}
