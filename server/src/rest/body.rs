//! What clients send, read strictly: a refusal names the field.

use std::error::Error;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use domain::Invalid;
use http::StatusCode;
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;

use super::{error, unread};
use crate::answer;

/// The most a body of the management API may have, in bytes.
const LIMIT: usize = 1 << 20;
const FILES_LIMIT: usize = 100 << 20;

/// A JSON body. An empty one counts as `{}`: clients leave out what they don't change.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        receive(request, LIMIT).await.map(Self)
    }
}

/// The same where a body carries whole files.
#[derive(Debug)]
pub struct FilesJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for FilesJson<T> {
    type Rejection = Response;

    async fn from_request(request: Request, _: &S) -> Result<Self, Response> {
        receive(request, FILES_LIMIT).await.map(Self)
    }
}

async fn receive<T: DeserializeOwned>(request: Request, limit: usize) -> Result<T, Response> {
    let body = received(request.into_body(), limit).await?;
    read(&body).map_err(|invalid| error::invalid(&invalid))
}

/// All of a body that has at most `limit` bytes, or the refusal. Only for those who are known: a stranger's body is not
/// read.
pub async fn received(body: Body, limit: usize) -> Result<Bytes, Response> {
    axum::body::to_bytes(body, limit).await.map_err(|error| {
        if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
            let message = format!("the body has more than {limit} bytes");
            return answer::error(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", &message);
        }
        let message = format!("the body could not be received: {error}");
        answer::error(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", &message)
    })
}

pub(super) fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Invalid> {
    let text: &[u8] = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    // A list would be read as the fields in their order, which nobody means; a refused text would be repeated, and it
    // may be a secret's value.
    if text.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(Invalid::new("body", "is not a JSON object; send one"));
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        unread::told("body", &path, &error.into_inner().to_string())
    })?;
    reader.end().map_err(|error| Invalid::new("body", error.to_string()))?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::contract::{LogsRequest, PromoteToEnvironment, UpdateEnvironment};

    #[test]
    fn refusals_name_the_field_that_was_wrong() {
        let refusal = |text: &'static str| read::<UpdateEnvironment>(&Bytes::from(text)).unwrap_err();
        let deep = refusal(r#"{"autoscaling_settings": {"min_replica": "two"}}"#);
        assert_eq!(deep.field, "autoscaling_settings.min_replica");
        let unknown = refusal(r#"{"autoscaling_setings": {}}"#);
        assert!(unknown.to_string().contains("autoscaling_setings"), "{unknown}");
        assert_eq!(refusal("{").field, "body");
        assert_eq!(refusal("{} {}").field, "body");
        assert_eq!(refusal("[]").field, "body");
    }

    #[test]
    fn a_number_of_the_wrong_kind_is_told_its_range() {
        let refusal = |text: &'static str| read::<UpdateEnvironment>(&Bytes::from(text)).unwrap_err();
        for (text, says) in [
            (
                r#"{"autoscaling_settings": {"max_replica": "two"}}"#,
                "autoscaling_settings.max_replica: is a text, and has to be a whole number \
                 from 1 to 1000",
            ),
            (
                r#"{"promotion_settings": {"rolling_deploy_config": {"max_surge_percent": 1.5}}}"#,
                "promotion_settings.rolling_deploy_config.max_surge_percent: is the number 1.5, and has to be \
                 a whole number from 0 to 50",
            ),
            (
                r#"{"promotion_settings": {"rolling_deploy_config": 5}}"#,
                "promotion_settings.rolling_deploy_config: is the number 5, and has to be an object",
            ),
        ] {
            assert_eq!(refusal(text).to_string(), says);
        }
        let lines = read::<LogsRequest>(&Bytes::from(r#"{"limit": true}"#)).unwrap_err();
        assert_eq!(lines.to_string(), "limit: is true or false, and has to be a whole number from 1 to 1000");
    }

    #[test]
    fn an_empty_body_is_an_empty_object() {
        assert!(read::<UpdateEnvironment>(&Bytes::from(" \n")).is_ok());
        let missing = read::<PromoteToEnvironment>(&Bytes::new()).unwrap_err();
        assert!(missing.to_string().contains("deployment_id"), "{missing}");
    }
}
