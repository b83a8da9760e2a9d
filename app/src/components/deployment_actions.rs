//! What can be done to one deployment: promote at hand, the rest in a menu that says why not.

use leptos::prelude::*;

use super::{ActionMenu, DialogButton, DialogKind, MenuItem};
use crate::view::{Actions, Permit};

#[component]
pub fn DeploymentActions(
    #[prop(into)] id: String,
    #[prop(into)] name: Signal<String>,
    #[prop(into)] actions: Signal<Actions>,
    /// In a list: the path of the deployment's own page, which has the same actions.
    #[prop(optional, into)]
    page: Option<String>,
) -> impl IntoView {
    view! {
        <div class="row-actions">
            <DialogButton
                kind=DialogKind::Promote
                deployment=id.clone()
                class="plain"
                refused=why(actions, |actions| &actions.promote)
            >
                "Promote…"
            </DialogButton>
            <ActionMenu
                id=id.clone()
                name=name
                items=Box::new(move || menu(actions))
                deployment=id
                page=page
            />
        </div>
    }
}

/// Why an action can't be used; nothing when it can.
fn why(actions: Signal<Actions>, pick: fn(&Actions) -> &Permit) -> Signal<Option<String>> {
    Signal::derive(move || actions.with(|actions| pick(actions).reason().map(str::to_owned)))
}

fn menu(actions: Signal<Actions>) -> Vec<MenuItem> {
    let item = |kind: DialogKind, label: &'static str, pick: fn(&Actions) -> &Permit| MenuItem {
        kind,
        label,
        danger: kind == DialogKind::Delete,
        refused: why(actions, pick),
    };
    let may_be_published = actions.with_untracked(|actions| actions.publish.is_some());
    let publish = may_be_published.then(|| MenuItem {
        kind: DialogKind::Publish,
        label: "Publish",
        danger: false,
        refused: Signal::derive(move || {
            actions.with(|actions| actions.publish.as_ref()?.reason().map(str::to_owned))
        }),
    });
    let others = [
        item(DialogKind::Rename, "Rename", |actions| &actions.rename),
        item(DialogKind::Retry, "Retry", |actions| &actions.retry),
        item(DialogKind::Activate, "Activate", |actions| &actions.activate),
        item(DialogKind::Deactivate, "Deactivate", |actions| &actions.deactivate),
        item(DialogKind::Delete, "Delete", |actions| &actions.delete),
    ];
    publish.into_iter().chain(others).collect()
}
