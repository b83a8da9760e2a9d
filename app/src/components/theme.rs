use crate::post::{Post, PostForm};
use leptos::prelude::*;

use crate::server_fns::ChooseTheme;
use crate::shell::Theme;

/// Light, dark, or as the system says; remembered in a cookie, so the first byte has it right.
#[component]
pub fn ThemeChoice() -> impl IntoView {
    let choose = Post::to::<ChooseTheme>();
    let show = |theme: Theme| {
        if let Some(root) = document().document_element() {
            let _ = root.set_attribute("data-theme", theme.as_str());
        }
    };
    let button = move |theme: Theme, label: &'static str, sign: &'static str| {
        view! {
            <button type="submit" name="theme" value=theme.as_str() title=label aria-label=label data-choice=theme.as_str()
                on:click=move |_| show(theme)>
                <span aria-hidden="true">{sign}</span>
            </button>
        }
    };
    view! {
        <PostForm post=choose class="theme">
            {button(Theme::System, "Theme of the system", "◐")}
            {button(Theme::Light, "Light theme", "○")}
            {button(Theme::Dark, "Dark theme", "●")}
        </PostForm>
    }
}
