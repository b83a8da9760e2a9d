//! Dialogs over a whole model.

use crate::erase::Erase;
use crate::post::{Post, PostForm};
use leptos::prelude::*;

use super::dialog::{DialogButtons, Modal};
use super::{FormError, when_done};
use crate::server_fns::DeleteModel;

#[component]
pub fn DeleteModelDialog(
    model_id: String,
    name: String,
    deployments: u64,
    #[prop(into)] then: Callback<()>,
) -> impl IntoView {
    let delete = Post::to::<DeleteModel>();
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
                let blocked = Signal::derive(move || {
                    let typed = typed.get();
                    !typed.is_empty() && typed.trim() != expected
                });
                let what = match deployments {
                    1 => " with its deployment and all its environments is deleted for good. ".to_owned(),
                    n => format!(" with its {n} deployments and all its environments is deleted for good. "),
                };
                view! {
                    <PostForm post=delete>
                        <input type="hidden" name="model_id" value=model_id />
                        <p>
                            <strong>{name.clone()}</strong>
                            {what}
                            "Every request to it answers 404. Its use stays in the usage log."
                        </p>
                        <p class="notice">
                            <strong>"Deactivate"</strong>
                            " its deployments instead if you may want them back."
                        </p>
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
