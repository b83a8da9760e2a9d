//! Answers that the gateway gives by itself.

use bytes::Bytes;
use domain::Availability;
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use crate::admission::Room;
use crate::answer_head::{write_end, write_status};
use crate::body::Answer;
use crate::keys::Denied;
use crate::request_head::{write_field, write_known};

/// A request that is not forwarded, or whose replica gave no answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: String,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into() }
    }

    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "model_does_not_exist", message)
    }

    pub fn unavailable(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(status, "model_unavailable", message)
    }

    pub fn too_large(limit: u64) -> Self {
        let message =
            format!("the request's body is larger than {limit} bytes; send less, or send a reference");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", message)
    }

    pub fn too_many(room: Room<'_>) -> Self {
        let message = format!(
            "this deployment's queue is full (at most {} requests or {} bytes); try again later",
            room.requests, room.bytes
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
    }

    /// As [`Self::too_many`], of all that wait together, which may take so many bytes.
    pub fn too_many_in_all(bytes: u64) -> Self {
        let message = format!(
            "too many requests wait on this server, for all deployments together (at most {bytes} bytes); try again later"
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
    }

    pub fn moving() -> Self {
        let message = "this server is being replaced; try again, the new one answers";
        Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    pub fn all_busy() -> Self {
        let message = "all replicas are busy, and this deployment refuses requests then; try again later";
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", message)
    }

    pub fn denied(denied: Denied) -> Self {
        match denied {
            Denied::Unknown => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "no valid API key: send the header `Authorization: Bearer <key>`",
            ),
            Denied::Forbidden => {
                Self::new(StatusCode::FORBIDDEN, "unauthorized", "this API key may not call this model")
            }
            Denied::Elsewhere => Self::new(
                StatusCode::FORBIDDEN,
                "unauthorized",
                "this API key may only call some environments, by their own addresses, and this is not one of them",
            ),
        }
    }

    /// Why a deployment takes no request, if so.
    pub fn by_availability(availability: &Availability) -> Option<Self> {
        match availability {
            Availability::Serving => None,
            Availability::Inactive { reason } => Some(Self::missing(reason.clone())),
            Availability::Failed { reason } => {
                Some(Self::unavailable(StatusCode::SERVICE_UNAVAILABLE, reason.clone()))
            }
        }
    }

    pub fn into_response(self) -> Response<Answer> {
        let document = serde_json::json!({ "error": self.message, "error_code": self.code });
        let mut response = json(self.status, document.to_string());
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Writes an answer that the gateway gives by itself, as it goes over the connection.
pub(crate) fn write(
    response: Response<Answer>,
    to_head_request: bool,
    closes: bool,
    date: &str,
    into: &mut Vec<u8>,
) {
    let (parts, body) = response.into_parts();
    let body = match body {
        Answer::Whole(Some(body)) => body,
        _ => Bytes::new(),
    };
    write_status(into, parts.status.as_u16(), parts.status.canonical_reason().unwrap_or_default());
    for (name, value) in &parts.headers {
        write_known(into, name, value.as_bytes());
    }
    write_field(into, "date", date.as_bytes());
    write_field(into, "content-length", body.len().to_string().as_bytes());
    write_end(into, closes);
    if !to_head_request {
        into.extend_from_slice(&body);
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, text: String) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(Bytes::from(text))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
