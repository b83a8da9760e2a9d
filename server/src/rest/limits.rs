//! How often a key may call each endpoint (semantics: Rate limits).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use domain::{Actor, Door, Meter, Rate};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;

use std::sync::Arc;

use crate::api::Api;
use crate::{answer, auth};

/// Meters that are kept before those of nobody's are thrown away.
const KEPT: usize = 10_000;

/// What each key has used up of each endpoint's rate.
#[derive(Debug, Default)]
pub struct Limits(Mutex<HashMap<(String, Method, String), Meter>>);

/// The rate of an endpoint: what starts and stops things is rare, what reads is not.
fn rate_of(method: &Method, path: &str) -> Rate {
    match path.rsplit('/').next() {
        Some("activate" | "deactivate" | "activate_environment" | "deactivate_environment") => {
            Rate::a_minute(20)
        }
        Some("retry") => Rate::a_minute(10),
        Some("logs") if method == Method::POST => Rate::a_second(30),
        _ => Rate::a_second(100),
    }
}

impl Limits {
    /// Counts a call at a monotonic millisecond, or says after how many the next one passes.
    fn admit(&self, caller: &str, method: &Method, path: &str, now: i64) -> Result<(), i64> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if meters.len() >= KEPT {
            meters.retain(|_, meter| !meter.is_empty(now));
        }
        let endpoint = (caller.to_owned(), method.clone(), path.to_owned());
        meters.entry(endpoint).or_default().admit(rate_of(method, path), now)
    }
}

/// The answer has what clients of each habit look for.
#[derive(Serialize)]
struct TooMany<'a> {
    code: &'static str,
    message: &'a str,
    error: &'a str,
    /// Seconds.
    retry_after: i64,
}

/// Counts a call of an endpoint, or says with 429 when the next one passes.
pub fn admit(api: &Api, actor: &Actor, method: &Method, path: &str) -> Result<(), Response> {
    let admitted = api.limits.admit(actor.counted_by(), method, path, api.clock.monotonic());
    admitted.map_err(|wait| refuse(method, path, wait))
}

/// Lets a call of the management API pass, or answers 429.
pub async fn check(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let extensions = request.extensions();
    if let (Some(actor), Some(path)) = (extensions.get::<Actor>(), extensions.get::<MatchedPath>())
        && let Err(refused) = admit(&api, actor, request.method(), path.as_str())
    {
        return refused;
    }
    next.run(request).await
}

/// The same for the dashboard's own API, where a key asks and not a browser.
pub async fn check_key(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let path = path.filter(|path| path.starts_with("/api/ui/"));
    let key = auth::key(request.headers()).map(str::to_owned);
    let method = request.method().clone();
    if let (Some(path), Some(key)) = (path, key)
        // That a key is not known is for the door itself to say.
        && let Ok(actor) = api.control.authenticate(&key, Door::Ui).await
        && let Err(refused) = admit(&api, &actor, &method, &path)
    {
        return refused;
    }
    next.run(request).await
}

fn refuse(method: &Method, path: &str, wait: i64) -> Response {
    let Rate { requests, within } = rate_of(method, path);
    let retry_after = wait.div_euclid(1000) + i64::from(wait.rem_euclid(1000) > 0);
    let per = if within == 1000 { "second" } else { "minute" };
    let message = format!(
        "{method} {path} is answered {requests} times a {per} for each key; try again in {retry_after} s"
    );
    let body = TooMany { code: "RATE_LIMITED", message: &message, error: &message, retry_after };
    let mut response = answer::with_status(StatusCode::TOO_MANY_REQUESTS, &body);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_after));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_and_each_endpoint_is_counted_apart() {
        let limits = Limits::default();
        let now = 0;
        let path = "/v1/models/{model}/deployments/{deployment}/retry";
        let passed = |caller: &str, path: &str| {
            (0..200).filter(|_| limits.admit(caller, &Method::POST, path, now).is_ok()).count()
        };
        assert_eq!(passed("one", path), 10);
        assert_eq!(passed("two", path), 10);
        assert_eq!(passed("one", "/v1/models/{model}/deployments/{deployment}/activate"), 20);
        assert_eq!(passed("one", "/v1/models/{model}/deployments/{deployment}/logs"), 30);
        assert_eq!(passed("one", "/v1/models"), 100);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let limits = Limits::default();
        for n in 0..i64::try_from(KEPT).unwrap() * 2 {
            let now = n * 20;
            assert!(limits.admit(&n.to_string(), &Method::GET, "/v1/models", now).is_ok());
        }
        assert!(limits.0.lock().unwrap().len() <= KEPT);
    }
}
