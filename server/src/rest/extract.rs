//! The parts of an address, read so that what can't be read is refused in JSON.

use std::error::Error;

use axum::extract::FromRequestParts;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::response::Response;
use domain::Invalid;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::{error, unread};

/// The parameters in a path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let refused = |rejection: PathRejection| error::invalid(&of_path(&rejection));
        read.map(|axum::extract::Path(value)| Self(value)).map_err(refused)
    }
}

/// The parameters of a query.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let read = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let refused = |rejection: QueryRejection| error::invalid(&of_query(&rejection));
        read.map(|axum::extract::Query(value)| Self(value)).map_err(refused)
    }
}

/// The parameter of a path that could not be read.
fn of_path(rejection: &PathRejection) -> Invalid {
    if let PathRejection::FailedToDeserializePathParams(failed) = rejection
        && let ErrorKind::InvalidUtf8InPathParam { key } = failed.kind()
    {
        return Invalid::new(key, "is not text in UTF-8");
    }
    Invalid::new("path", rejection.body_text())
}

/// The parameter of a query that could not be read, and what it has to be.
pub(super) fn of_query(rejection: &QueryRejection) -> Invalid {
    type Failed = serde_path_to_error::Error<serde::de::value::Error>;
    let mut cause = rejection.source();
    let mut failed = None;
    while let (None, Some(one)) = (failed, cause) {
        failed = one.downcast_ref::<Failed>();
        cause = one.source();
    }
    match failed {
        Some(failed) => unread::told("query", &failed.path().to_string(), &failed.inner().to_string()),
        None => Invalid::new("query", rejection.body_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "it is read, and not looked at")]
    struct Asked {
        limit: Option<usize>,
        count: Option<u8>,
        mine: Option<bool>,
        since: i64,
    }

    #[test]
    fn a_refusal_names_the_parameter_and_what_it_has_to_be() {
        let refusal = |query: &str| {
            let address = format!("http://localhost/v1/x?{query}").parse().unwrap();
            let rejection = axum::extract::Query::<Asked>::try_from_uri(&address).unwrap_err();
            of_query(&rejection).to_string()
        };
        for (query, says) in [
            ("since=1&limit=many", "limit: has to be a whole number from 1 to 1000, written in digits"),
            ("since=1&limit=-1", "limit: has to be a whole number from 1 to 1000, written in digits"),
            (
                "since=1&limit=99999999999999999999999",
                "limit: has to be a whole number from 1 to 1000, written in digits",
            ),
            ("since=1&count=many", "count: has to be a whole number, written in digits"),
            ("since=1&count=999", "count: is larger than any number that it may be"),
            ("since=1&mine=perhaps", "mine: has to be true or false"),
            ("limit=1", "since: is missing; it has to be given"),
            ("since=1&since=2", "since: is given more than once; give it once"),
        ] {
            assert_eq!(refusal(query), says, "{query}");
        }
    }
}
