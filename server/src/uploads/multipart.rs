//! Uploads in parts: each part a file of its own until they are joined.

use std::path::{Path, PathBuf};

use axum::body::Body;
use http::StatusCode;
use sha2::{Digest, Sha256};
use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::LIMIT;
use super::receive::{disk, receive, too_large};
use super::signature::{Payload, hex};
use super::xml::S3Error;

/// The highest number a part may have.
const LAST_PART: u32 = 10_000;

/// An upload under way; its folder holds its parts.
#[derive(Debug)]
pub struct Multipart {
    folder: PathBuf,
}

impl Multipart {
    /// Begins an upload, and says its id.
    pub async fn begin(uploads: &Path) -> Result<String, S3Error> {
        let id = crate::random::word::<26>();
        let folder = uploads.join(format!("parts-{id}"));
        fs::create_dir(&folder).await.map_err(|error| disk(&folder, &error))?;
        Ok(id)
    }

    /// Finds an upload by its id, which may be anything a stranger sends.
    pub fn open(uploads: &Path, id: &str) -> Result<Self, S3Error> {
        let ours = id.len() == 26 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let folder = uploads.join(format!("parts-{id}"));
        if !ours || !folder.is_dir() {
            let message = "this upload is unknown, finished or aborted";
            return Err(S3Error::new(StatusCode::NOT_FOUND, "NoSuchUpload", message));
        }
        Ok(Self { folder })
    }

    /// Takes one part, in place of an earlier one with its number; answers its tag.
    pub async fn part(&self, number: u32, body: Body, payload: &Payload) -> Result<String, S3Error> {
        if !(1..=LAST_PART).contains(&number) {
            let message = format!("partNumber must be a number from 1 to {LAST_PART}");
            return Err(S3Error::new(StatusCode::BAD_REQUEST, "InvalidArgument", message));
        }
        let room = LIMIT.saturating_sub(self.size().await);
        Ok(receive(body, payload, &self.file(number), room).await?.etag)
    }

    /// Joins the parts into `target`; answers the whole's tag.
    pub async fn complete(&self, numbers: &[u32], target: &Path) -> Result<String, S3Error> {
        let mut size = 0;
        for number in numbers {
            let metadata = fs::metadata(self.file(*number)).await.map_err(|_| {
                let message = format!("part {number} was not uploaded");
                S3Error::new(StatusCode::BAD_REQUEST, "InvalidPart", message)
            })?;
            size += metadata.len();
        }
        if size > LIMIT {
            return Err(too_large(LIMIT));
        }
        if let Err(error) = self.join(numbers, target).await {
            // The first part may hold a piece of the second by now, which nobody could tell apart later.
            self.abort().await;
            return Err(error);
        }
        self.abort().await;
        tracing::info!(bytes = size, parts = numbers.len(), "an archive was uploaded in parts");
        let tag = hex(&Sha256::digest(self.folder.to_string_lossy().as_bytes()));
        Ok(format!("\"{}-{}\"", &tag[..32], numbers.len()))
    }

    async fn join(&self, numbers: &[u32], target: &Path) -> Result<(), S3Error> {
        // The first part becomes the whole, so most of a small archive is never copied.
        let whole = self.file(numbers[0]);
        let mut file =
            OpenOptions::new().append(true).open(&whole).await.map_err(|error| disk(&whole, &error))?;
        for number in &numbers[1..] {
            let part = self.file(*number);
            let mut source = fs::File::open(&part).await.map_err(|error| disk(&part, &error))?;
            tokio::io::copy(&mut source, &mut file).await.map_err(|error| disk(&whole, &error))?;
            let _ = fs::remove_file(part).await;
        }
        file.flush().await.map_err(|error| disk(&whole, &error))?;
        file.sync_data().await.map_err(|error| disk(&whole, &error))?;
        fs::rename(&whole, target).await.map_err(|error| disk(target, &error))
    }

    /// Removes everything that arrived.
    pub async fn abort(&self) {
        let _ = fs::remove_dir_all(&self.folder).await;
    }

    fn file(&self, number: u32) -> PathBuf {
        self.folder.join(format!("{number:05}"))
    }

    /// Bytes of all parts that have arrived.
    async fn size(&self) -> u64 {
        let Ok(mut entries) = fs::read_dir(&self.folder).await else { return 0 };
        let mut size = 0;
        while let Ok(Some(entry)) = entries.next_entry().await {
            size += entry.metadata().await.map_or(0, |data| data.len());
        }
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn parts_are_joined_in_their_order_whenever_they_came() {
        let temp = tempfile::tempdir().unwrap();
        let id = Multipart::begin(temp.path()).await.unwrap();
        let upload = Multipart::open(temp.path(), &id).unwrap();
        for (number, text) in [(3, "c"), (1, "a"), (2, "x"), (2, "b")] {
            upload.part(number, Body::from(text), &Payload::Unsigned).await.unwrap();
        }
        let target = temp.path().join("whole");
        upload.complete(&[1, 2, 3], &target).await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"abc");
        assert!(Multipart::open(temp.path(), &id).is_err(), "a finished upload is closed");
    }

    #[tokio::test]
    async fn a_missing_part_and_a_foreign_id_are_refused() {
        let temp = tempfile::tempdir().unwrap();
        let id = Multipart::begin(temp.path()).await.unwrap();
        let upload = Multipart::open(temp.path(), &id).unwrap();
        let error = upload.complete(&[1], &temp.path().join("whole")).await.unwrap_err();
        assert_eq!(error.code, "InvalidPart");
        assert!(upload.part(0, Body::empty(), &Payload::Unsigned).await.is_err());
        assert!(upload.part(10_001, Body::empty(), &Payload::Unsigned).await.is_err());
        for id in ["../../etc", "", "0123456789012345678901234567890123"] {
            assert!(Multipart::open(temp.path(), id).is_err(), "{id}");
        }
    }
}
