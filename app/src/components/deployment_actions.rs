//! What can be done to one deployment: promote at hand, the rest in a menu that says why not.

use leptos::prelude::*;

use super::{DialogButton, DialogKind};
use crate::view::{Actions, Permit};

#[component]
pub fn DeploymentActions(
    #[prop(into)] id: String,
    #[prop(into)] name: Signal<String>,
    #[prop(into)] actions: Signal<Actions>,
) -> impl IntoView {
    let menu = format!("menu-{id}");
    let why = move |pick: fn(&Actions) -> &Permit| {
        Signal::derive(move || actions.with(|actions| pick(actions).reason().map(str::to_owned)))
    };
    let item = |kind: DialogKind, label: &'static str, class: &'static str, pick: fn(&Actions) -> &Permit| {
        let reason = why(pick);
        let note = format!("why-{}-{id}", kind.as_str());
        view! {
            <li>
                <DialogButton kind=kind deployment=id.clone() class=class refused=reason described_by=note.clone()>
                    {label}
                </DialogButton>
                <p class="why" id=note>
                    {reason}
                </p>
            </li>
        }
    };
    let promote = why(|actions| &actions.promote);
    view! {
        <div class="row-actions">
            <DialogButton kind=DialogKind::Promote deployment=id.clone() class="plain" refused=promote>
                "Promote…"
            </DialogButton>
            <button
                type="button"
                class="plain more"
                popovertarget=menu.clone()
                aria-label=move || format!("Actions for {}", name.get())
            >
                <span aria-hidden="true">"⋯"</span>
            </button>
            <ul popover="auto" id=menu class="menu" aria-label=move || format!("Actions for {}", name.get())>
                {item(DialogKind::Rename, "Rename", "item", |actions| &actions.rename)}
                {item(DialogKind::Retry, "Retry", "item", |actions| &actions.retry)}
                {item(DialogKind::Activate, "Activate", "item", |actions| &actions.activate)}
                {item(DialogKind::Deactivate, "Deactivate", "item", |actions| &actions.deactivate)}
                {item(DialogKind::Delete, "Delete", "item danger", |actions| &actions.delete)}
            </ul>
        </div>
    }
}
