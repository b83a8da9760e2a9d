//! The upload door: what `boto3` needs of S3 to bring an archive here, and nothing else.
//!
//! Requests carry no API key; a signature made with one-time keys proves that their sender was given leave.

#[cfg(test)]
mod bad_input;
mod chunked;
mod multipart;
mod receive;
pub(crate) mod signature;
mod xml;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::any;
use domain::{Clock, Timestamp};
use http::header::ETAG;
use http::{HeaderValue, Method, StatusCode};
use subtle::ConstantTimeEq;

use multipart::Multipart;
use receive::receive;
use signature::{Authorization, Payload};
use xml::S3Error;

/// The name that clients are told for the place of uploads.
pub const BUCKET: &str = "uploads";
/// The most an archive may have, in bytes: 10 GB.
pub const LIMIT: u64 = 10_000_000_000;
/// The most that the list of a multipart upload's parts may have, in bytes: 10,000 parts are allowed.
const LIST_LIMIT: usize = 2 << 20;

/// Leave to upload one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    pub bucket: String,
    pub key: String,
    pub secret: String,
    pub session_token: String,
    pub expires_at: Timestamp,
    /// Where the archive is put.
    pub file: PathBuf,
}

/// Who gave leave to whom.
#[async_trait]
pub trait Grants: Send + Sync {
    /// Finds leave by its access key; nothing if there is none, or the store can't tell.
    async fn find(&self, access_key: &str) -> Option<Grant>;
}

/// What the door works with.
pub struct Uploads {
    pub grants: Arc<dyn Grants>,
    pub clock: Arc<dyn Clock>,
    /// Where parts of multipart uploads wait.
    pub folder: PathBuf,
}

/// `/s3/{bucket}/{key}`.
pub fn router(uploads: Arc<Uploads>) -> Router {
    Router::new().route("/s3/{*path}", any(handle)).with_state(uploads)
}

async fn handle(State(uploads): State<Arc<Uploads>>, request: Request) -> Response {
    match uploads.answer(request).await {
        Ok(response) => response,
        Err(error) => {
            tracing::info!(code = error.code, "an upload was refused: {}", error.message);
            error.response()
        }
    }
}

impl Uploads {
    async fn answer(&self, request: Request) -> Result<Response, S3Error> {
        let (parts, body) = request.into_parts();
        let authorization = Authorization::read(&parts)?;
        let now = self.clock.now();
        let unknown = || {
            S3Error::new(
                StatusCode::FORBIDDEN,
                "InvalidAccessKeyId",
                "these upload keys are unknown or used up; push again",
            )
        };
        let grant = self.grants.find(&authorization.access_key).await.ok_or_else(unknown)?;
        if now > grant.expires_at {
            return Err(S3Error::new(
                StatusCode::FORBIDDEN,
                "ExpiredToken",
                "these upload keys have expired; push again",
            ));
        }
        let payload = authorization.check(&parts, &grant.secret, now.seconds())?;
        let token = parts.headers.get("x-amz-security-token").map(HeaderValue::as_bytes).unwrap_or_default();
        if !bool::from(token.ct_eq(grant.session_token.as_bytes())) {
            return Err(S3Error::new(
                StatusCode::FORBIDDEN,
                "InvalidToken",
                "the security token is not the one that was given",
            ));
        }
        if parts.uri.path() != format!("/s3/{}/{}", grant.bucket, grant.key) {
            return Err(S3Error::new(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                "these upload keys are for another file",
            ));
        }
        let query = query(parts.uri.query().unwrap_or_default());
        let upload = query.get("uploadId").map(String::as_str);
        match (&parts.method, upload) {
            (&Method::PUT, None) => self.put(&grant, body, &payload).await,
            (&Method::POST, None) if query.contains_key("uploads") => {
                let id = Multipart::begin(&self.folder).await?;
                Ok(xml::initiated(&grant.bucket, &grant.key, &id))
            }
            (&Method::PUT, Some(id)) => {
                let number = query.get("partNumber").and_then(|number| number.parse().ok()).unwrap_or(0);
                let etag = Multipart::open(&self.folder, id)?.part(number, body, &payload).await?;
                Ok(with_etag(&etag))
            }
            (&Method::POST, Some(id)) => self.complete(&grant, id, body).await,
            (&Method::DELETE, Some(id)) => {
                Multipart::open(&self.folder, id)?.abort().await;
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                Ok(response)
            }
            _ => Err(S3Error::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "MethodNotAllowed",
                "only uploads are served here: PUT, or a multipart upload",
            )),
        }
    }

    async fn put(&self, grant: &Grant, body: Body, payload: &Payload) -> Result<Response, S3Error> {
        let received = receive(body, payload, &grant.file, LIMIT).await?;
        tracing::info!(bytes = received.size, "an archive was uploaded");
        Ok(with_etag(&received.etag))
    }

    async fn complete(&self, grant: &Grant, id: &str, body: Body) -> Result<Response, S3Error> {
        let list = axum::body::to_bytes(body, LIST_LIMIT).await.map_err(|_| {
            S3Error::new(
                StatusCode::BAD_REQUEST,
                "MalformedXML",
                "the list of parts is too long or broke off",
            )
        })?;
        let etag = Multipart::open(&self.folder, id)?.complete(&xml::parts(&list)?, &grant.file).await?;
        Ok(xml::completed(&grant.bucket, &grant.key, &etag))
    }
}

fn with_etag(etag: &str) -> Response {
    let mut response = Response::new(Body::empty());
    if let Ok(etag) = HeaderValue::from_str(etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

/// The pairs of a query. Values here are numbers and ids of ours, which need no decoding.
fn query(text: &str) -> HashMap<String, String> {
    text.split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Removes what was begun and never finished, once it is older than a day. `now` in wall time.
pub async fn sweep(folder: &Path, now: Timestamp) {
    const DAY: i64 = 24 * 60 * 60 * 1000;
    let Ok(mut entries) = tokio::fs::read_dir(folder).await else { return };
    while let Ok(Some(entry)) = entries.next_entry().await {
        let modified = entry.metadata().await.ok().and_then(|data| data.modified().ok());
        let since = modified.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let Some(modified) = since.and_then(|since| i64::try_from(since.as_millis()).ok()) else { continue };
        if now.millis().saturating_sub(modified) > DAY {
            let path = entry.path();
            tracing::info!(path = %path.display(), "removing an upload that was never finished");
            let _ = if path.is_dir() {
                tokio::fs::remove_dir_all(path).await
            } else {
                tokio::fs::remove_file(path).await
            };
        }
    }
}
