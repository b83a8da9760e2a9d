//! The HTML document around every page.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// Where the built site's files are, as paths on this server; `target/site/manifest.json`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SiteFiles {
    pub js: String,
    pub wasm: String,
    pub css: String,
    /// The files of each chunk, by the chunk's name.
    #[serde(default)]
    pub chunks: BTreeMap<String, Vec<String>>,
}

/// Which theme a person chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    Light,
    Dark,
    System,
}

impl Theme {
    pub const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == text)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Light => "light",
            Self::Dark => "dark",
            Self::System => "system",
        }
    }

    /// Reads the theme's cookie from a `Cookie` header or `document.cookie`.
    pub fn from_cookies(cookies: &str) -> Self {
        cookies
            .split(';')
            .filter_map(|cookie| cookie.trim().strip_prefix("theme="))
            .find_map(Self::parse)
            .unwrap_or(Self::System)
    }
}

impl fmt::Display for Theme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(feature = "ssr")]
pub use document::shell;

#[cfg(feature = "ssr")]
mod document {
    use http::header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    };
    use http::request::Parts;
    use http::{HeaderName, HeaderValue};
    use leptos::nonce::use_nonce;
    use leptos::prelude::*;
    use leptos_axum::ResponseOptions;
    use leptos_meta::MetaTags;

    use super::{SiteFiles, Theme};
    use crate::App;
    use crate::chunks::Chunk;

    /// A ramp with its first step lit: inline, so that the page asks for one file less.
    const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect \
        width='32' height='32' rx='7' fill='%230c4a7c'/%3E%3Cpath d='M6 24h5v-4H6z' fill='%23ffd93b'/%3E%3Cpath \
        d='M13.5 24h5v-9h-5zM21 24h5V8h-5z' fill='%23cfe6fb'/%3E%3C/svg%3E";

    /// The document. Also sets the headers that belong to a page: its content security policy, with
    /// the nonce of its own script.
    pub fn shell(files: SiteFiles) -> impl IntoView {
        let nonce = use_nonce();
        set_headers(nonce.as_ref().map(ToString::to_string).unwrap_or_default());
        let parts = use_context::<Parts>();
        let cookies =
            parts.as_ref().and_then(|parts| parts.headers.get(COOKIE)?.to_str().ok()).unwrap_or_default();
        let theme = Theme::from_cookies(cookies).as_str();
        let SiteFiles { js, wasm, css, mut chunks } = files;
        // The page's own code is needed as soon as the program runs: fetched beside it, not after it.
        let early = parts
            .as_ref()
            .map(|parts| Chunk::of_address(parts.uri.path(), parts.uri.query().unwrap_or_default()))
            .unwrap_or_default();
        let mut early: Vec<String> =
            early.into_iter().flat_map(|chunk| chunks.remove(chunk.name()).unwrap_or_default()).collect();
        // What two of them share is one file.
        early.sort_unstable();
        early.dedup();
        let preload = |file: String| {
            view! { <link rel="preload" href=file r#as="fetch" r#type="application/wasm" crossorigin="" /> }
        };
        let start = format!(
            "import init, {{ hydrate }} from '{js}'; await init({{ module_or_path: '{wasm}' }}); await hydrate();"
        );
        view! {
            <!DOCTYPE html>
            <html lang="en" data-theme=theme>
                <head>
                    <meta charset="utf-8" />
                    <meta name="viewport" content="width=device-width, initial-scale=1" />
                    <meta name="color-scheme" content="light dark" />
                    <link rel="icon" href=ICON />
                    <link rel="stylesheet" href=css />
                    <link rel="modulepreload" href=js nonce=nonce.clone() />
                    {preload(wasm)}
                    {early.into_iter().map(preload).collect_view()}
                    <script type="module" nonce=nonce inner_html=start></script>
                    <MetaTags />
                </head>
                <body>
                    <App />
                </body>
            </html>
        }
    }

    fn set_headers(nonce: String) {
        let Some(response) = use_context::<ResponseOptions>() else { return };
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; \
             connect-src 'self'; img-src 'self' data:; font-src 'self'; base-uri 'none'; form-action 'self'; \
             frame-ancestors 'none'"
        );
        let set = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.insert_header(name, value);
            }
        };
        set(CONTENT_SECURITY_POLICY, &policy);
        set(REFERRER_POLICY, "same-origin");
        set(X_CONTENT_TYPE_OPTIONS, "nosniff");
        set(CACHE_CONTROL, "no-store");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_theme_comes_from_its_own_cookie_only() {
        assert_eq!(Theme::from_cookies("session=abc; theme=dark"), Theme::Dark);
        assert_eq!(Theme::from_cookies("xtheme=dark; theme=purple"), Theme::System);
        assert_eq!(Theme::from_cookies(""), Theme::System);
    }
}
