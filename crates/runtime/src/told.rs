//! What the code of a replica is told while it runs: the environment it serves (semantics: Environments).

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use domain::EnvironmentName;

/// The folder of what is told, below the replica's own; `$SLIPWAY_DYNAMIC_CONFIG` names it to the code.
pub(crate) const FOLDER: &str = "dynamic_config";
const FILE: &str = "environment";

/// Writes `{"name": …}`, or nothing for a replica that serves no environment; whole or not at all.
pub(crate) fn write(replica: &Path, environment: Option<&EnvironmentName>) -> io::Result<()> {
    let folder = replica.join(FOLDER);
    let text = environment.map(|name| serde_json::json!({ "name": name }).to_string()).unwrap_or_default();
    let fresh = folder.join(".environment.new");
    std::fs::write(&fresh, text)?;
    // It may run as another user.
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o644))?;
    std::fs::rename(fresh, folder.join(FILE))
}

/// What was told last; nothing if that can't be read.
pub(crate) fn read(replica: &Path) -> Option<EnvironmentName> {
    let text = std::fs::read_to_string(replica.join(FOLDER).join(FILE)).ok()?;
    let told: serde_json::Value = serde_json::from_str(&text).ok()?;
    serde_json::from_value(told.get("name")?.clone()).ok()
}
