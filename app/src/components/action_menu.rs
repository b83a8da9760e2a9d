//! A menu of actions that opens dialogs, and says of each that can't be used why not.
//!
//! A list has a menu in each row, and few are ever opened. There it begins as a link to the page that has the same
//! actions, which works before and without the page's code, and is made when it is first used.

use leptos::either::Either;
use leptos::ev::{KeyboardEvent, MouseEvent};
use leptos::html;
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

/// Makes a menu's actions, when the menu is made.
pub type MenuItems = Box<dyn Fn() -> Vec<MenuItem> + Send>;

#[component]
pub fn ActionMenu(
    /// Tells this menu from others of the page.
    #[prop(into)]
    id: String,
    /// What the actions are about.
    #[prop(into)]
    name: Signal<String>,
    items: MenuItems,
    #[prop(optional, into)] deployment: Option<String>,
    #[prop(optional, into)] environment: Option<String>,
    /// In a row of a list: the path of the page that has the same actions.
    #[prop(optional_no_strip, into)]
    page: Option<String>,
) -> impl IntoView {
    let used = RwSignal::new(false);
    move || match &page {
        Some(page) if !used.get() => {
            Either::Left(view! { <MenuLink page=page.clone() name=name used=used /> })
        }
        _ => Either::Right(view! {
            <Menu
                id=id.clone()
                name=name
                items=items()
                deployment=deployment.clone()
                environment=environment.clone()
                opens=page.is_some()
            />
        }),
    }
}

fn label(name: Signal<String>) -> impl Fn() -> String + Copy + Send + 'static {
    move || format!("Actions for {}", name.get())
}

/// What a menu is until it is used.
#[component]
fn MenuLink(page: String, name: Signal<String>, used: RwSignal<bool>) -> impl IntoView {
    let click = move |event: MouseEvent| {
        event.prevent_default();
        used.set(true);
    };
    let press = move |event: KeyboardEvent| match event.key().as_str() {
        // Not left to the link's own click: a button that has the focus by then would take the rest of the key.
        "Enter" | "ArrowDown" => {
            event.prevent_default();
            used.set(true);
        }
        // A button acts when the space bar is let go; until then the page must not scroll.
        " " => event.prevent_default(),
        _ => (),
    };
    let release = move |event: KeyboardEvent| {
        if event.key() == " " {
            used.set(true);
        }
    };
    view! {
        <a
            href=page
            class="button plain more"
            aria-label=label(name)
            use:as_button
            on:click=click
            on:keydown=press
            on:keyup=release
        >
            <span aria-hidden="true">"⋯"</span>
        </a>
    }
}

/// Says that the link opens a menu. It does so from here on; before, and without this code, it is a link.
fn as_button(link: web_sys::Element) {
    let _ = link.set_attribute("role", "button");
    let _ = link.set_attribute("aria-expanded", "false");
}

#[component]
fn Menu(
    id: String,
    name: Signal<String>,
    items: Vec<MenuItem>,
    deployment: Option<String>,
    environment: Option<String>,
    /// It takes the place of a link that was just used.
    opens: bool,
) -> impl IntoView {
    let button = NodeRef::<html::Button>::new();
    if opens {
        Effect::new(move |opened: Option<bool>| {
            if opened == Some(true) {
                return true;
            }
            let Some(button) = button.get() else { return false };
            // The link had the focus. A click, unlike `showPopover`, ties the menu to its button: it has its place
            // there, and a second click closes it.
            let _ = button.focus();
            button.click();
            true
        });
    }
    let menu = format!("menu-{id}");
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
        <button
            type="button"
            class="plain more"
            popovertarget=menu.clone()
            aria-label=label(name)
            node_ref=button
        >
            <span aria-hidden="true">"⋯"</span>
        </button>
        <ul popover="auto" id=menu class="menu" aria-label=label(name)>
            {items}
        </ul>
    }
}
