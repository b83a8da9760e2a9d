//! Links to pushed archives that need no key: signed, and good for some minutes.

use std::path::Path;

use axum::body::Body;
use axum::response::Response;
use domain::{ArtifactId, Timestamp};
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio_util::io::ReaderStream;

/// How long a link is good, in milliseconds.
const LIFETIME: i64 = 15 * 60 * 1000;

/// `ARTIFACT.EXPIRY.SIGNATURE`.
pub fn token(secret: &[u8; 32], artifact: &ArtifactId, now: Timestamp) -> String {
    let said = format!("{artifact}.{}", now.plus(LIFETIME).millis());
    let signature = sign(secret, &said);
    format!("{said}.{signature}")
}

/// The archive that a token is for; nothing if it is not ours or has expired.
pub fn check(secret: &[u8; 32], token: &str, now: Timestamp) -> Option<ArtifactId> {
    let (said, signature) = token.rsplit_once('.')?;
    if !bool::from(sign(secret, said).as_bytes().ct_eq(signature.as_bytes())) {
        return None;
    }
    let (artifact, expiry) = said.split_once('.')?;
    (expiry.parse::<i64>().ok()? >= now.millis()).then(|| ArtifactId::new(artifact))
}

fn sign(secret: &[u8; 32], text: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret).map(|mut mac| {
        mac.update(text.as_bytes());
        mac.finalize().into_bytes()
    });
    mac.map(|bytes| bytes.iter().map(|byte| format!("{byte:02x}")).collect()).unwrap_or_default()
}

/// Packs what has no archive of its own yet: code that was changed in place.
pub async fn ensure(folder: &Path, archive: &Path) {
    if archive.is_file() || !folder.is_dir() {
        return;
    }
    let (from, to) = (folder.to_owned(), archive.to_owned());
    let packed = tokio::task::spawn_blocking(move || truss::archive::pack(&from, &to)).await;
    if let Err(error) = packed.unwrap_or_else(|error| Err(std::io::Error::other(error))) {
        tracing::warn!(folder = %folder.display(), %error, "could not pack a deployment's code for a download");
    }
}

/// Streams the file; nothing if it is not there.
pub async fn send(path: &Path, artifact: &ArtifactId) -> Option<Response> {
    let file = tokio::fs::File::open(path).await.ok()?;
    let size = file.metadata().await.ok()?.len();
    let mut response = Response::new(Body::from_stream(ReaderStream::with_capacity(file, 64 << 10)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-tar"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(name) = HeaderValue::from_str(&format!("attachment; filename=\"{artifact}.tar\"")) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_good_for_its_archive_and_its_time() {
        let (secret, now) = ([7; 32], Timestamp::from_millis(1_000_000));
        let artifact = ArtifactId::new("abc123");
        let link = token(&secret, &artifact, now);
        assert_eq!(check(&secret, &link, now), Some(artifact.clone()));
        assert_eq!(check(&secret, &link, now.plus(LIFETIME + 1)), None);
        assert_eq!(check(&[8; 32], &link, now), None);
        assert_eq!(check(&secret, &link.replace("abc123", "../../x"), now), None);
        assert_eq!(check(&secret, "", now), None);
    }
}
