//! A body on its way to the disk: bounded, hashed, and there whole or not at all.

use std::path::Path;

use axum::body::Body;
use futures::StreamExt;
use http::StatusCode;
use sha2::{Digest, Sha256};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

use super::chunked::Chunked;
use super::signature::{Payload, hex};
use super::xml::S3Error;

/// A file that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Bytes on the disk.
    pub size: u64,
    /// As S3 clients expect it: quoted.
    pub etag: String,
}

/// Writes a body to `path` by way of a file beside it, which is renamed when everything was right.
///
/// Fails if the body is longer than `limit` bytes, breaks off, or is not what its signature says.
pub async fn receive(body: Body, payload: &Payload, path: &Path, limit: u64) -> Result<Received, S3Error> {
    let fresh = path.with_extension("part");
    let result = write(body, payload, &fresh, limit).await;
    match result {
        Ok(received) => {
            fs::rename(&fresh, path).await.map_err(|error| disk(path, &error))?;
            Ok(received)
        }
        Err(error) => {
            let _ = fs::remove_file(&fresh).await;
            Err(error)
        }
    }
}

async fn write(body: Body, payload: &Payload, path: &Path, limit: u64) -> Result<Received, S3Error> {
    let mut file = File::create(path).await.map_err(|error| disk(path, &error))?;
    let mut stream = body.into_data_stream();
    let mut chunked = matches!(payload, Payload::ChunkedUnsigned).then(Chunked::default);
    let mut hash = Sha256::new();
    let mut size = 0u64;
    while let Some(data) = stream.next().await {
        let data = data.map_err(|_| {
            S3Error::new(StatusCode::BAD_REQUEST, "IncompleteBody", "the body broke off before its end")
        })?;
        let data = match &mut chunked {
            Some(chunked) => chunked.decode(&data)?.into(),
            None => data,
        };
        size += data.len() as u64;
        if size > limit {
            return Err(too_large(limit));
        }
        hash.update(&data);
        file.write_all(&data).await.map_err(|error| disk(path, &error))?;
    }
    if chunked.is_some_and(|chunked| !chunked.is_complete()) {
        return Err(S3Error::new(StatusCode::BAD_REQUEST, "IncompleteBody", "the last chunk is missing"));
    }
    file.flush().await.map_err(|error| disk(path, &error))?;
    file.sync_data().await.map_err(|error| disk(path, &error))?;
    let hash = hex(&hash.finalize());
    if let Payload::Hashed(expected) = payload
        && *expected != hash
    {
        let message = "the body's SHA-256 is not the one that was signed; send it again";
        return Err(S3Error::new(StatusCode::BAD_REQUEST, "XAmzContentSHA256Mismatch", message));
    }
    Ok(Received { size, etag: format!("\"{}\"", &hash[..32]) })
}

/// The body, or the parts together, are over the limit.
pub fn too_large(limit: u64) -> S3Error {
    let message =
        format!("an archive may have at most {limit} bytes; leave large files out with .truss_ignore");
    S3Error::new(StatusCode::BAD_REQUEST, "EntityTooLarge", message)
}

/// The disk refused; the operator learns where, the sender that it was not their fault.
pub fn disk(path: &Path, error: &std::io::Error) -> S3Error {
    tracing::error!(path = %path.display(), %error, "an upload could not be written");
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    if matches!(error.kind(), StorageFull | QuotaExceeded) {
        // A status that clients do not try again at once.
        let message = "the server's disk is full; make room on it, then push again";
        return S3Error::new(StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage", message);
    }
    let message = "the server could not write the archive";
    S3Error::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_not_signed_never_arrives() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("archive");
        let other = Payload::Hashed("0".repeat(64));
        let error = receive(Body::from("hello"), &other, &path, 100).await.unwrap_err();
        assert_eq!(error.code, "XAmzContentSHA256Mismatch");
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);

        let right = Payload::Hashed(hex(&Sha256::digest(b"hello")));
        assert_eq!(receive(Body::from("hello"), &right, &path, 100).await.unwrap().size, 5);
        assert_eq!(std::fs::read(&path).unwrap(), b"hello");
    }

    #[test]
    fn a_full_disk_is_not_tried_again_at_once() {
        let told = |kind: std::io::ErrorKind| disk(Path::new("archive"), &kind.into());
        let full = told(std::io::ErrorKind::StorageFull);
        assert_eq!((full.status, full.code), (StatusCode::INSUFFICIENT_STORAGE, "InsufficientStorage"));
        assert!(full.message.contains("make room"), "{}", full.message);
        assert_eq!(told(std::io::ErrorKind::PermissionDenied).status, StatusCode::INTERNAL_SERVER_ERROR);
    }

    #[tokio::test]
    async fn a_long_body_is_stopped_at_the_limit() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("archive");
        let error = receive(Body::from("hello"), &Payload::Unsigned, &path, 4).await.unwrap_err();
        assert_eq!(error.code, "EntityTooLarge");
        assert!(!path.exists());
    }
}
