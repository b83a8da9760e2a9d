//! How a request says who asks: an API key in its header, or the dashboard's cookie.

use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE};

/// The cookie of a signed-in browser.
pub const COOKIE_NAME: &str = "slipway_session";

/// The API key of a request: `Authorization: Bearer KEY` or `Api-Key KEY`.
pub fn key(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let known = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("api-key");
    Some(key.trim()).filter(|key| known && !key.is_empty())
}

/// The session of a browser.
pub fn session(headers: &HeaderMap) -> Option<&str> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, token)| token)
        .filter(|token| !token.is_empty())
}

/// `Set-Cookie` for a new session that ends after `seconds`.
pub fn set_cookie(token: &str, seconds: i64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

/// `Set-Cookie` that forgets the session.
pub fn forget_cookie(secure: bool) -> String {
    set_cookie("", 0, secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])
    }

    #[test]
    fn both_schemes_are_read_and_no_other() {
        for text in ["Bearer k1", "Api-Key k1", "bearer  k1", "api-key k1 "] {
            assert_eq!(key(&headers(AUTHORIZATION, text)), Some("k1"), "{text}");
        }
        for text in ["Basic k1", "k1", "Bearer ", "Bearer"] {
            assert_eq!(key(&headers(AUTHORIZATION, text)), None, "{text}");
        }
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let found = headers(COOKIE, "theme=dark; slipway_session=abc; other=1");
        assert_eq!(session(&found), Some("abc"));
        assert_eq!(session(&headers(COOKIE, "xslipway_session=abc")), None);
        assert_eq!(session(&headers(COOKIE, "slipway_session=")), None);
    }

    #[test]
    fn a_cookie_never_reaches_scripts_or_other_sites() {
        let cookie = set_cookie("t", 60, true);
        for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!set_cookie("t", 60, false).contains("Secure"));
    }
}
