//! Dialogs over one deployment. Each names the thing, the consequence and the gentler way.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use leptos::prelude::*;

use super::dialog::{DialogButtons, Modal};
use super::{FormError, when_done};
use crate::server_fns::{Activate, Deactivate, DeleteDeployment, Publish, Rename, Retry};
use crate::view::DeploymentRef;

#[component]
pub fn RenameDialog(model_id: String, deployment: DeploymentRef) -> impl IntoView {
    let rename = Post::to::<Rename>();
    let title = format!("Rename {}", deployment.name);
    view! {
        <Modal
            title=title
            children=Box::new(move |handle| {
                when_done(rename, move || handle.close());
                view! {
                    <PostForm post=rename>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="deployment_id" value=deployment.id />
                        <label class="field">
                            <span>"Name"</span>
                            <input
                                name="name"
                                value=deployment.name
                                required
                                maxlength="255"
                                pattern="[A-Za-z0-9._\\-]+"
                                autocomplete="off"
                                spellcheck="false"
                                autofocus
                            />
                        </label>
                        <p class="hint">
                            "Letters, digits, dots, hyphens and underscores. Addresses keep working: they use the id."
                        </p>
                        <FormError post=rename />
                        <DialogButtons act="Rename" pending=rename.pending />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

#[component]
pub fn PublishDialog(model_id: String, deployment: DeploymentRef) -> impl IntoView {
    let publish = Post::to::<Publish>();
    view! {
        <Modal
            title=format!("Publish {}", deployment.name)
            children=Box::new(move |handle| {
                when_done(publish, move || handle.close());
                view! {
                    <PostForm post=publish>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="deployment_id" value=deployment.id />
                        <p>
                            "A copy of it as it is now becomes a deployment with an address of its own, without an environment. "
                            <strong>{deployment.name}</strong>
                            " stays, and later edits never reach the copy."
                        </p>
                        <label class="field">
                            <span>"Name"</span>
                            <input
                                name="name"
                                placeholder="the next number, deployment-…"
                                maxlength="255"
                                pattern="[A-Za-z0-9._\\-]+"
                                autocomplete="off"
                                spellcheck="false"
                                autofocus
                            />
                        </label>
                        <p class="hint">
                            "To give it traffic of an environment, promote it instead; that makes a copy as well."
                        </p>
                        <FormError post=publish />
                        <DialogButtons act="Publish" pending=publish.pending />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

#[component]
pub fn RetryDialog(model_id: String, deployment: DeploymentRef) -> impl IntoView {
    let retry = Post::to::<Retry>();
    view! {
        <Modal
            title=format!("Retry {}", deployment.name)
            children=Box::new(move |handle| {
                when_done(retry, move || handle.close());
                view! {
                    <PostForm post=retry>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="deployment_id" value=deployment.id />
                        <p>
                            <strong>{deployment.name.clone()}</strong>
                            " is tried again as it was pushed: built again if its build failed, started again if its start failed. If the fault is in its code or its requirements, push a mended one instead."
                        </p>
                        <FormError post=retry />
                        <DialogButtons act="Retry" pending=retry.pending />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

#[component]
pub fn ActivateDialog(model_id: String, deployment: DeploymentRef) -> impl IntoView {
    let activate = Post::to::<Activate>();
    view! {
        <Modal
            title=format!("Activate {}", deployment.name)
            children=Box::new(move |handle| {
                when_done(activate, move || handle.close());
                view! {
                    <PostForm post=activate>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="deployment_id" value=deployment.id />
                        <p>
                            <strong>{deployment.name.clone()}</strong>
                            " starts again from its existing build. It answers requests as soon as its first replica is ready."
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
pub fn DeactivateDialog(
    model_id: String,
    deployment: DeploymentRef,
    environment: Option<String>,
) -> impl IntoView {
    let deactivate = Post::to::<Deactivate>();
    view! {
        <Modal
            title=format!("Deactivate {}", deployment.name)
            destructive=environment.is_some()
            children=Box::new(move |handle| {
                when_done(deactivate, move || handle.close());
                let serving = environment
                    .clone()
                    .map(|environment| {
                        view! {
                            <p class="notice warn">
                                "It serves " <strong>{environment.clone()}</strong>
                                ". From then on every request to " {environment} " answers 404."
                            </p>
                        }
                    });
                view! {
                    <PostForm post=deactivate>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="deployment_id" value=deployment.id />
                        <p>
                            <strong>{deployment.name.clone()}</strong>
                            " finishes the requests it has, then frees its compute. It stays in the list with its configuration, and you can activate it again at any time. Requests to it answer 404 meanwhile."
                        </p>
                        {serving}
                        <FormError post=deactivate />
                        <DialogButtons act="Deactivate" pending=deactivate.pending destructive=environment.is_some() />
                    </PostForm>
                }
                    .erased()
            })
        />
    }
}

#[component]
pub fn DeleteDialog(
    model_id: String,
    deployment: DeploymentRef,
    /// Whether deactivating it is a way out.
    may_deactivate: bool,
    /// Where to go when its own page is gone.
    #[prop(into)]
    then: Callback<()>,
) -> impl IntoView {
    let delete = Post::to::<DeleteDeployment>();
    let typed = RwSignal::new(String::new());
    view! {
        <Modal
            title=format!("Delete {}", deployment.name)
            destructive=true
            children=Box::new(move |handle| {
                when_done(
                    delete,
                    move || {
                        handle.close();
                        then.run(());
                    },
                );
                let name = deployment.name.clone();
                // Without JavaScript the button stays usable and the server compares the name.
                let blocked = Signal::derive(move || {
                    let typed = typed.get();
                    !typed.is_empty() && typed.trim() != name
                });
                let gentler = may_deactivate
                    .then(|| {
                        view! {
                            <p class="notice">
                                <strong>"Deactivate"</strong>
                                " keeps it and frees its compute. Choose that if you may want it back."
                            </p>
                        }
                    });
                view! {
                    <PostForm post=delete>
                        <input type="hidden" name="model_id" value=model_id />
                        <input type="hidden" name="deployment_id" value=deployment.id />
                        <p>
                            <strong>{deployment.name.clone()}</strong>
                            " is deleted for good: it leaves this page, its compute is released, and requests to it answer 404. Its use stays in the usage log."
                        </p>
                        {gentler}
                        <label class="field">
                            <span>"Type the name to confirm"</span>
                            <input
                                name="confirm"
                                placeholder=deployment.name
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
