//! Slipway's dashboard: pages that are rendered on the server and live in the browser.
//!
//! With feature `ssr` this is a library of the server: [`shell`], [`App`] and the server functions
//! ask [`backend::Backend`], which the server implements. With feature `hydrate` it is the WASM.

#![recursion_limit = "512"]

#[cfg(feature = "ssr")]
pub mod backend;
mod chunks;
mod clock;
mod components;
mod erase;
pub mod error;
mod fresh;
mod live;
mod pages;
mod post;
mod read;
mod routes;
#[cfg(test)]
mod sample;
pub mod server_fns;
mod shell;
mod transport;
#[cfg(feature = "ssr")]
mod unread;
pub mod view;
pub mod window;

pub use routes::App;
#[cfg(feature = "ssr")]
pub use shell::shell;
pub use shell::{SiteFiles, Theme};

/// Takes over the page that the server rendered, once its code is there. If that can't be loaded, the page stays as it
/// is: its links and forms work without us.
#[cfg(feature = "hydrate")]
#[wasm_bindgen::prelude::wasm_bindgen]
pub async fn hydrate() {
    console_error_panic_hook::set_once();
    let location = leptos::prelude::window().location();
    let (path, query) = (location.pathname().unwrap_or_default(), location.search().unwrap_or_default());
    for chunk in chunks::Chunk::of_address(&path, &query) {
        if let Err(error) = chunk.load().await {
            leptos::logging::error!("the code of this page could not be loaded: {error}");
            return;
        }
    }
    leptos::mount::hydrate_body(App);
    // Tests, and nobody else, wait for this: from here on clicks are handled in the browser.
    if let Some(root) = leptos::prelude::document().document_element() {
        let _ = root.set_attribute("data-hydrated", "true");
    }
}
