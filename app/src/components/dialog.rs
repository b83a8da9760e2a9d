//! Dialogs with an address: `?dialog=rename&deployment=…` opens one, with JavaScript or without.

use crate::erase::ErasedChildren;
use leptos::html;
use leptos::prelude::*;
use leptos_router::NavigateOptions;
use leptos_router::hooks::{use_location, use_navigate, use_query_map};
use leptos_router::location::Location;
use leptos_router::params::ParamsMap;
use wasm_bindgen::JsCast;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialogKind {
    Promote,
    Publish,
    Rename,
    Retry,
    Activate,
    Deactivate,
    Delete,
    DeleteModel,
    NewEnvironment,
    DeleteEnvironment,
    Terminate,
    RollForward,
}

impl DialogKind {
    const ALL: [Self; 12] = [
        Self::Promote,
        Self::Publish,
        Self::Rename,
        Self::Retry,
        Self::Activate,
        Self::Deactivate,
        Self::Delete,
        Self::DeleteModel,
        Self::NewEnvironment,
        Self::DeleteEnvironment,
        Self::Terminate,
        Self::RollForward,
    ];

    /// As it is written in the address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Publish => "publish",
            Self::Rename => "rename",
            Self::Retry => "retry",
            Self::Activate => "activate",
            Self::Deactivate => "deactivate",
            Self::Delete => "delete",
            Self::DeleteModel => "delete-model",
            Self::NewEnvironment => "new-environment",
            Self::DeleteEnvironment => "delete-environment",
            Self::Terminate => "terminate",
            Self::RollForward => "roll-forward",
        }
    }
}

/// The dialog that the address asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDialog {
    pub kind: DialogKind,
    pub deployment: Option<String>,
    pub environment: Option<String>,
    pub replica: Option<String>,
}

/// The open dialog, following the address.
pub fn use_dialog() -> Memo<Option<OpenDialog>> {
    let query = use_query_map();
    Memo::new(move |_| {
        query.with(|query| {
            let asked = query.get("dialog")?;
            let kind = DialogKind::ALL.into_iter().find(|kind| kind.as_str() == asked)?;
            Some(OpenDialog {
                kind,
                deployment: query.get("deployment"),
                environment: query.get("environment"),
                replica: query.get("replica"),
            })
        })
    })
}

/// What the address says beside a dialog, such as which part of a list is shown: it stays when one opens or closes.
fn kept(query: &ParamsMap) -> ParamsMap {
    let mut kept = query.clone();
    for name in ["dialog", "deployment", "environment", "replica"] {
        kept.remove(name);
    }
    kept
}

/// A button that opens a dialog. Without JavaScript it is a form that asks for the page with the
/// dialog open.
#[component]
pub fn DialogButton(
    kind: DialogKind,
    #[prop(optional_no_strip, into)] deployment: Option<String>,
    #[prop(optional_no_strip, into)] environment: Option<String>,
    #[prop(optional, into)] replica: Option<String>,
    /// The button's name where its words alone would not tell it from others.
    #[prop(optional, into)]
    label: Option<String>,
    #[prop(optional)] class: &'static str,
    /// Why it can't be used, which disables it.
    #[prop(optional, into)]
    refused: Signal<Option<String>>,
    /// The id of the element that tells the reason.
    #[prop(optional, into)]
    described_by: Option<String>,
    children: ErasedChildren,
) -> impl IntoView {
    let navigate = use_navigate();
    // Both are the router's own: a page has a button in each row, and each would make its own query.
    let Location { pathname: path, query, .. } = use_location();
    let asked: Vec<(&'static str, String)> =
        [("deployment", &deployment), ("environment", &environment), ("replica", &replica)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .chain([("dialog", kind.as_str().to_owned())])
            .collect();
    let open = move |event: leptos::ev::MouseEvent| {
        event.prevent_default();
        // A menu closes first, so that the dialog gives the focus back to the menu's button.
        if let Some(button) = event.current_target()
            && let Ok(button) = button.dyn_into::<web_sys::Element>()
            && let Ok(Some(menu)) = button.closest("[popover]")
            && let Ok(menu) = menu.dyn_into::<web_sys::HtmlElement>()
        {
            let _ = menu.hide_popover();
        }
        let mut to = query.with_untracked(kept);
        for (name, value) in &asked {
            to.insert(*name, value.clone());
        }
        let options = NavigateOptions { scroll: false, ..Default::default() };
        navigate(&format!("{}{}", path.get_untracked(), to.to_query_string()), options);
    };
    let others = move || {
        let hidden =
            |(name, value): (String, String)| view! { <input type="hidden" name=name value=value /> };
        let others = query.with(kept).into_iter().map(|(name, value)| (name.into_owned(), value));
        others.map(hidden).collect_view()
    };
    let hidden = |name: &'static str, value: Option<String>| {
        value.map(|value| view! { <input type="hidden" name=name value=value /> })
    };
    view! {
        <form method="get" class="bare">
            <input type="hidden" name="dialog" value=kind.as_str() />
            {others}
            {hidden("deployment", deployment)}
            {hidden("environment", environment)}
            {hidden("replica", replica)}
            <button
                type="submit"
                class=class
                disabled=move || refused.with(Option::is_some)
                title=move || refused.get()
                aria-label=label
                aria-describedby=described_by
                on:click=open
            >
                {children.view()}
            </button>
        </form>
    }
}

/// The dialog a form is in; closing it clears the address.
#[derive(Clone, Copy)]
pub struct Handle(NodeRef<html::Dialog>);

impl Handle {
    pub fn close(self) {
        if let Some(dialog) = self.0.get_untracked() {
            dialog.close();
        }
    }
}

/// The id of the form that closes a dialog, for the button that leads back.
const BACK: &str = "dialog-back";

/// A native modal dialog: it traps the focus, closes on Escape, and gives the focus back.
#[component]
pub fn Modal(
    title: String,
    /// Nothing can undo what it does.
    #[prop(optional)]
    destructive: bool,
    children: ChildrenWith,
) -> impl IntoView {
    let node = NodeRef::<html::Dialog>::new();
    let navigate = use_navigate();
    let path = use_location().pathname;
    let query = use_query_map();
    Effect::new(move || {
        if let Some(dialog) = node.get()
            && dialog.is_connected()
        {
            // The server renders it open for those without JavaScript; only `showModal` makes the
            // page behind it inert. Removing the attribute, unlike `close`, is not an event.
            let _ = dialog.remove_attribute("open");
            let _ = dialog.show_modal();
        }
    });
    let closed = move |_| {
        let options = NavigateOptions { scroll: false, replace: true, ..Default::default() };
        let kept = query.with_untracked(kept).to_query_string();
        navigate(&format!("{}{kept}", path.get_untracked()), options);
    };
    view! {
        <dialog
            node_ref=node
            open=true
            class="modal"
            class:destructive=destructive
            aria-labelledby="dialog-title"
            on:close=closed
        >
            <form method="dialog" id=BACK></form>
            <h2 id="dialog-title">{title}</h2>
            {children(Handle(node))}
        </dialog>
    }
}

/// What is inside a dialog, given its handle.
pub type ChildrenWith = Box<dyn FnOnce(Handle) -> AnyView + Send>;

/// The row of buttons at a dialog's end.
#[component]
pub fn DialogButtons(
    /// What the button that acts says.
    #[prop(into)]
    act: Signal<String>,
    #[prop(into)] pending: Signal<bool>,
    #[prop(optional)] destructive: bool,
    /// While true the act can't be done yet.
    #[prop(optional, into)]
    blocked: Signal<bool>,
) -> impl IntoView {
    view! {
        <div class="buttons">
            <button type="submit" form=BACK class="plain" autofocus=destructive>
                "Back"
            </button>
            <button
                type="submit"
                class=if destructive { "danger" } else { "primary" }
                disabled=move || pending.get() || blocked.get()
            >
                {act}
            </button>
        </div>
    }
}
