//! The development deployment: how live reload stands, and how its code differs from the newest copy.

use domain::Timestamp;
use serde::{Deserialize, Serialize};

use super::DeploymentRef;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LivePage {
    pub as_of: Timestamp,
    pub model_id: String,
    /// How live reload stands, in one sentence.
    pub sentence: String,
    /// Why the last change did not come up, with its traceback; nothing if it did.
    pub failure: Option<String>,
    pub patched_at: Option<Timestamp>,
    /// Nothing until a copy was made.
    pub since_copy: Option<SinceCopy>,
}

/// What has changed since the newest copy was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SinceCopy {
    pub copy: DeploymentRef,
    pub copied_at: Timestamp,
    pub files: Vec<ChangedFile>,
    /// Changed files beyond those shown.
    pub more: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedFile {
    pub path: String,
    /// `added`, `changed`, `removed`.
    pub change: String,
    /// Nothing for what is no text, or too long to show.
    pub lines: Option<Vec<ChangedLine>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedLine {
    /// `+`, `-`, a space, or `…` where lines were left out.
    pub mark: char,
    pub text: String,
}
