//! What every request must pass before anybody looks at it: a name of ours, and no foreign page behind it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{HOST, ORIGIN, UPGRADE};
use http::{HeaderMap, Method, StatusCode, Uri};

use crate::answer;

/// The names this server answers to.
#[derive(Debug, Clone)]
pub struct Names {
    /// Host, and port where one was given, of the public address.
    public: Option<String>,
    domain: Option<String>,
    /// Addresses that were chosen to listen on.
    addresses: Vec<String>,
}

impl Names {
    /// From the public address, the domain, and the addresses listened on.
    pub fn new(public_url: &str, domain: Option<&str>, listen: &[std::net::SocketAddr]) -> Self {
        let public = public_url
            .parse::<Uri>()
            .ok()
            .and_then(|uri| uri.host().map(|host| host.trim_matches(['[', ']']).to_ascii_lowercase()));
        Self {
            public,
            domain: domain.map(str::to_owned),
            addresses: listen.iter().map(|address| address.ip().to_string()).collect(),
        }
    }

    /// Whether a `Host` header, with or without a port, names this server.
    ///
    /// A name that only resolves here is not enough: a page elsewhere could make its own name do that.
    pub fn knows(&self, host: &str) -> bool {
        let name = without_port(host).to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        name == "localhost"
            || name.ends_with(".localhost")
            || name == "127.0.0.1"
            || name == "::1"
            || self.public.as_deref() == Some(name)
            || self.domain.as_deref().is_some_and(|domain| {
                name == domain || name.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
            })
            || self.addresses.iter().any(|address| address == name)
    }
}

fn without_port(host: &str) -> &str {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split(']').next().unwrap_or_default();
    }
    host.rsplit_once(':')
        .filter(|(_, port)| port.chars().all(|c| c.is_ascii_digit()))
        .map_or(host, |(name, _)| name)
}

/// Refuses unknown hosts, and changes asked for by pages of other sites.
pub async fn check(State(names): State<std::sync::Arc<Names>>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .or_else(|| request.uri().authority().map(http::uri::Authority::as_str));
    let Some(host) = host.filter(|host| names.knows(host)) else {
        let message = "this server is not known by that name; set SLIPWAY_PUBLIC_URL to the address you use";
        return answer::error(StatusCode::MISDIRECTED_REQUEST, "UNKNOWN_HOST", message);
    };
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if (changes || request.headers().contains_key(UPGRADE)) && is_foreign(request.headers(), host) {
        let message = "a page of another site asked for this; open the dashboard by its own address";
        return answer::error(StatusCode::FORBIDDEN, "CROSS_SITE", message);
    }
    next.run(request).await
}

/// Whether a browser says that another site's page is behind a request. Programs say nothing.
fn is_foreign(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        // `same-site` is another origin: another port of localhost may be anybody's.
        return !matches!(site, "same-origin" | "none");
    }
    match text(ORIGIN.as_str()) {
        None => false,
        Some(origin) => {
            origin.split_once("://").is_none_or(|(_, authority)| !authority.eq_ignore_ascii_case(host))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_ours_pass_with_and_without_port() {
        let names = Names::new("https://models.example.org", Some("ml.example.net"), &[]);
        for host in [
            "localhost",
            "localhost:8000",
            "api.localhost:8000",
            "127.0.0.1:1",
            "[::1]:8000",
            "MODELS.example.org",
            "ml.example.net",
            "model-abc.api.ml.example.net:443",
        ] {
            assert!(names.knows(host), "{host}");
        }
        for host in ["example.org", "evilml.example.net", "localhost.example.org", "169.254.169.254", ""] {
            assert!(!names.knows(host), "{host}");
        }
    }

    #[test]
    fn only_browsers_on_other_pages_are_foreign() {
        let headers = |pairs: &[(&'static str, &'static str)]| {
            pairs
                .iter()
                .map(|(name, value)| {
                    (http::HeaderName::from_static(name), http::HeaderValue::from_static(value))
                })
                .collect::<HeaderMap>()
        };
        assert!(!is_foreign(&headers(&[]), "localhost:8000"));
        assert!(!is_foreign(&headers(&[("origin", "http://localhost:8000")]), "localhost:8000"));
        assert!(is_foreign(&headers(&[("origin", "http://localhost:3000")]), "localhost:8000"));
        assert!(is_foreign(&headers(&[("origin", "null")]), "localhost:8000"));
        assert!(is_foreign(&headers(&[("sec-fetch-site", "cross-site")]), "localhost:8000"));
        assert!(!is_foreign(&headers(&[("sec-fetch-site", "same-origin")]), "localhost:8000"));
    }
}
