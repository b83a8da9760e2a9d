//! A menu of actions that opens dialogs, and says of each that can't be used why not.

use leptos::prelude::*;

use super::{DialogButton, DialogKind};

/// One action of a menu.
pub struct MenuItem {
    pub kind: DialogKind,
    pub label: &'static str,
    /// Can't be undone.
    pub danger: bool,
    /// Why it can't be used; nothing when it can.
    pub refused: Signal<Option<String>>,
}

#[component]
pub fn ActionMenu(
    /// Tells this menu from others of the page.
    #[prop(into)]
    id: String,
    /// What the actions are about.
    #[prop(into)]
    name: Signal<String>,
    items: Vec<MenuItem>,
    #[prop(optional, into)] deployment: Option<String>,
    #[prop(optional, into)] environment: Option<String>,
) -> impl IntoView {
    let menu = format!("menu-{id}");
    let label = move || format!("Actions for {}", name.get());
    let items = items
        .into_iter()
        .map(|MenuItem { kind, label, danger, refused }| {
            let note = format!("why-{}-{id}", kind.as_str());
            view! {
                <li>
                    <DialogButton
                        kind=kind
                        deployment=deployment.clone()
                        environment=environment.clone()
                        class=if danger { "item danger" } else { "item" }
                        refused=refused
                        described_by=note.clone()
                    >
                        {label}
                    </DialogButton>
                    <p class="why" id=note>
                        {refused}
                    </p>
                </li>
            }
        })
        .collect_view();
    view! {
        <button type="button" class="plain more" popovertarget=menu.clone() aria-label=label>
            <span aria-hidden="true">"⋯"</span>
        </button>
        <ul popover="auto" id=menu class="menu" aria-label=label>
            {items}
        </ul>
    }
}
