//! The parts of an address, read so that what can't be read is refused in JSON.

use axum::extract::{FromRequestParts, rejection};
use axum::response::Response;
use domain::Invalid;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::error;

/// The parameters in a path.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let read = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        let refused = |rejection: rejection::PathRejection| {
            error::invalid(&Invalid::new("path", rejection.body_text()))
        };
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
        let refused = |rejection: rejection::QueryRejection| {
            error::invalid(&Invalid::new("query", rejection.body_text()))
        };
        read.map(|axum::extract::Query(value)| Self(value)).map_err(refused)
    }
}
