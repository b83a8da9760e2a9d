//! What can be done to one deployment: promote at hand, the rest in a menu that says why not.

use leptos::prelude::*;

use super::{ActionMenu, DialogButton, DialogKind, MenuItem};
use crate::view::{Actions, Permit};

#[component]
pub fn DeploymentActions(
    #[prop(into)] id: String,
    #[prop(into)] name: Signal<String>,
    #[prop(into)] actions: Signal<Actions>,
) -> impl IntoView {
    let why = move |pick: fn(&Actions) -> &Permit| {
        Signal::derive(move || actions.with(|actions| pick(actions).reason().map(str::to_owned)))
    };
    let item = |kind: DialogKind, label: &'static str, pick: fn(&Actions) -> &Permit| MenuItem {
        kind,
        label,
        danger: kind == DialogKind::Delete,
        refused: why(pick),
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
    let items = publish.into_iter().chain([
        item(DialogKind::Rename, "Rename", |actions| &actions.rename),
        item(DialogKind::Retry, "Retry", |actions| &actions.retry),
        item(DialogKind::Activate, "Activate", |actions| &actions.activate),
        item(DialogKind::Deactivate, "Deactivate", |actions| &actions.deactivate),
        item(DialogKind::Delete, "Delete", |actions| &actions.delete),
    ]);
    let promote = why(|actions| &actions.promote);
    view! {
        <div class="row-actions">
            <DialogButton kind=DialogKind::Promote deployment=id.clone() class="plain" refused=promote>
                "Promote…"
            </DialogButton>
            <ActionMenu id=id.clone() name=name items=items.collect() deployment=id />
        </div>
    }
}
