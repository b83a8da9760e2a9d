//! The dashboard's files: from inside the binary, or from `target/site` while developing.

use app::SiteFiles;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, StatusCode};

#[cfg(feature = "embed")]
#[derive(rust_embed::RustEmbed)]
#[folder = "../target/site"]
struct Embedded;

/// One of the site's files by its path below the site's folder.
#[cfg(feature = "embed")]
fn file(path: &str) -> Option<Bytes> {
    Embedded::get(path).map(|file| match file.data {
        std::borrow::Cow::Borrowed(data) => Bytes::from_static(data),
        std::borrow::Cow::Owned(data) => Bytes::from(data),
    })
}

/// cargo-leptos says where its site is, and leaves the style sheets apart.
#[cfg(not(feature = "embed"))]
fn file(path: &str) -> Option<Bytes> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let site = std::env::var("LEPTOS_SITE_ROOT").unwrap_or_else(|_| "target/site".into());
    let style = path.strip_prefix("pkg/").filter(|name| name.ends_with(".css"));
    std::fs::read(root.join(site).join(path))
        .ok()
        .or_else(|| std::fs::read(root.join("style").join(style?)).ok())
        .map(Bytes::from)
}

/// The files that pages name.
///
/// Read anew for each page while developing, so that a rebuilt site needs no restart; a site that was never built
/// still has pages, without their script and style.
pub fn files() -> SiteFiles {
    // As cargo-leptos names them.
    let plain = || SiteFiles {
        js: "/pkg/app.js".into(),
        wasm: "/pkg/app.wasm".into(),
        css: "/pkg/app.css".into(),
        chunks: Default::default(),
    };
    file("manifest.json").and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_else(plain)
}

/// Whether there is a site to serve.
pub fn is_built() -> bool {
    file("manifest.json").is_some() || file("pkg/app.wasm").is_some()
}

/// Answers `/pkg/{name}`, compressed as the browser likes it. Names, or the one folder before them, carry a hash, so
/// browsers keep files for ever.
pub fn serve(name: &str, request: &HeaderMap) -> Response {
    let safe = name.split('/').count() <= 2
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
        });
    let Some(kind) = safe.then(|| content_type(name)).flatten() else { return missing() };
    let tag = format!("\"{name}\"");
    if request.get(IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes()) {
        return status(StatusCode::NOT_MODIFIED);
    }
    let accepts = request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let compressed = [("br", "br"), ("gzip", "gz")]
        .into_iter()
        .filter(|(coding, _)| accepted(accepts, coding))
        .find_map(|(coding, ending)| Some((Some(coding), file(&format!("pkg/{name}.{ending}"))?)));
    let Some((coding, data)) = compressed.or_else(|| Some((None, file(&format!("pkg/{name}"))?))) else {
        return missing();
    };
    let mut response = Response::new(Body::from(data));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    response
}

fn content_type(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "js" => Some("text/javascript; charset=utf-8"),
        "wasm" => Some("application/wasm"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "woff2" => Some("font/woff2"),
        _ => None,
    }
}

/// Whether an `Accept-Encoding` header takes this coding.
fn accepted(header: &str, coding: &str) -> bool {
    header.split(',').any(|part| {
        let mut fields = part.split(';').map(str::trim);
        fields.next().is_some_and(|name| name.eq_ignore_ascii_case(coding))
            && !fields.any(|field| {
                field
                    .strip_prefix("q=")
                    .is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight == 0.0))
            })
    })
}

fn missing() -> Response {
    status(StatusCode::NOT_FOUND)
}

fn status(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_are_taken_only_when_wanted() {
        assert!(accepted("gzip, deflate, br", "br"));
        assert!(!accepted("gzip, br;q=0", "br"));
        assert!(!accepted("", "gzip"));
    }

    #[test]
    fn names_never_leave_the_folder() {
        for name in [
            "../Cargo.toml",
            "..",
            ".hidden.js",
            "a/../b.js",
            "/etc/x.js",
            "a//b.js",
            "a/b/c.js",
            "app.js\0",
            "x.toml",
        ] {
            assert_eq!(serve(name, &HeaderMap::new()).status(), StatusCode::NOT_FOUND, "{name}");
        }
    }
}
