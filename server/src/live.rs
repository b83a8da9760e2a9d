//! Changes in place as both doors tell them: GraphQL for the `truss` command, REST for its library.

use std::time::Duration;

use control::WatchState;
use domain::PatchPoint;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use truss::Signature;
use utoipa::ToSchema;

/// How long a GraphQL answer waits for a change to run; its client waits for 120 s.
pub const GRAPHQL_WAITS: Duration = Duration::from_secs(110);
/// How long a REST answer does, and one to a push; its client waits for 5 s and asks again on 503.
pub const REST_WAITS: Duration = Duration::from_secs(4);

/// A change in the `truss` command's form: base64 of this as JSON.
#[derive(Debug, Deserialize)]
pub struct Patch {
    pub prev_hash: String,
    pub next_hash: String,
    pub next_signature: Value,
    pub patch_ops: Vec<Value>,
}

impl Patch {
    /// The signature as text: clients send it as text or as an object.
    pub fn next(&self) -> PatchPoint {
        let signature = match &self.next_signature {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        PatchPoint { hash: self.next_hash.clone(), signature }
    }
}

/// A state in the REST API's form.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PatchPoint)]
pub struct Point {
    /// The hash of each file by its path; null for a folder.
    #[schema(value_type = std::collections::BTreeMap<String, Option<String>>)]
    pub content_hashes: truss::hash::Contents,
    pub config: String,
    #[serde(default)]
    pub requirements: Option<Vec<String>>,
    /// Made from the rest where it is left out.
    #[serde(default)]
    pub hash: String,
}

impl Point {
    pub fn of(point: &PatchPoint) -> Self {
        let signature: Signature = serde_json::from_str(&point.signature).unwrap_or_default();
        Self {
            content_hashes: signature.content_hashes_by_path,
            config: signature.config,
            requirements: Some(signature.requirements_file_requirements),
            hash: point.hash.clone(),
        }
    }

    /// The same as the domain keeps it. A state that comes without a hash gets the hash of its contents.
    pub fn into_point(self) -> PatchPoint {
        let signature = Signature {
            content_hashes_by_path: self.content_hashes,
            config: self.config,
            requirements_file_requirements: self.requirements.unwrap_or_default(),
        };
        let hash = if self.hash.is_empty() { signature.hash() } else { self.hash };
        PatchPoint { hash, signature: serde_json::to_string(&signature).unwrap_or_default() }
    }
}

/// The state that waits to be put into service, if it is another than the one that runs.
pub fn pending(state: &WatchState) -> Option<&PatchPoint> {
    state.staged.as_ref().filter(|staged| *staged != &state.running)
}
