//! The section of `.trussrc` that points the `truss` command to this server.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// The file that the `truss` command reads.
pub fn path() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("USER_TRUSSRC_PATH").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty());
    Ok(PathBuf::from(home.context("there is no home folder; set USER_TRUSSRC_PATH")?).join(".trussrc"))
}

/// What the key of a remote is called: after the remote, as far as the name of a key can tell it.
pub fn key_name(remote: &str) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    format!("truss-{}", remote.chars().take(90).map(allowed).collect::<String>())
}

/// The section's text, without an empty line at its end.
pub fn section(remote: &str, public_url: &str, key: &str) -> String {
    format!("[{remote}]\nremote_provider = baseten\nremote_url = {public_url}\napi_key = {key}")
}

/// Puts the section into the file, in place of one with the same name. Other sections stay as they are.
pub fn write(path: &Path, remote: &str, section: &str) -> anyhow::Result<()> {
    let old = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
    };
    let fresh = path.with_extension("slipway-new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .with_context(|| format!("writing {}", fresh.display()))?;
    file.write_all(with_section(&old, remote, section).as_bytes())?;
    fs::rename(&fresh, path).with_context(|| format!("replacing {}", path.display()))
}

fn with_section(old: &str, remote: &str, section: &str) -> String {
    let header = format!("[{remote}]");
    let mut kept = String::new();
    let mut skipping = false;
    for line in old.lines() {
        if line.trim_start().starts_with('[') {
            skipping = line.trim() == header;
        }
        if !skipping {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    let kept = kept.trim_end();
    if kept.is_empty() { format!("{section}\n") } else { format!("{kept}\n\n{section}\n") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_remotes_stay_as_they_are() {
        let old = "[hosted]\napi_key = a\n\n[slipway]\napi_key = old\n# note\n[third]\napi_key = c\n";
        let new = with_section(old, "slipway", "[slipway]\napi_key = new");
        assert_eq!(new, "[hosted]\napi_key = a\n\n[third]\napi_key = c\n\n[slipway]\napi_key = new\n");
    }

    #[test]
    fn whatever_a_remote_is_called_its_key_gets_a_name() {
        assert_eq!(key_name("slipway"), "truss-slipway");
        assert_eq!(key_name("My Größe_2"), "truss-my-gr--e-2");
        for remote in ["", "slipway", "My Größe_2", &"ä".repeat(500)] {
            domain::check_key_name(&key_name(remote)).unwrap();
        }
    }

    #[test]
    fn a_first_section_needs_no_file() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join(".trussrc");
        write(&path, "slipway", &section("slipway", "http://localhost:8000", "key")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("remote_url = http://localhost:8000"), "{text}");
    }
}
