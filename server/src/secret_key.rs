//! The key that seals secrets: from the settings, or a file in the data folder that the first start makes.

use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use store::Vault;

use crate::data_folder::DataFolder;
use crate::random;

/// The key's file in the data folder.
pub const FILE: &str = "secret.key";

/// The chosen key; without one, that of the data folder, which is made if it is missing.
///
/// # Errors
/// If the file can't be read, holds no key, or can't be written.
pub fn vault(chosen: Option<&Vault>, folder: &DataFolder) -> anyhow::Result<Vault> {
    if let Some(vault) = chosen {
        return Ok(vault.clone());
    }
    let path = folder.path().join(FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) => Vault::from_base64(&text).map_err(|problem| {
            anyhow::anyhow!(
                "{} {problem}; put the key back from a backup, or remove the file and set every secret again",
                path.display()
            )
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key: [u8; 32] = random::bytes();
            folder
                .write_private(FILE, &format!("{}\n", STANDARD.encode(key)))
                .with_context(|| format!("writing {}", path.display()))?;
            Ok(Vault::new(&key))
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use domain::{SecretName, SecretValue};

    #[test]
    fn the_first_start_makes_a_key_that_the_next_one_finds() {
        let temp = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(temp.path()).unwrap();
        let (name, value) = (SecretName::new("a").unwrap(), SecretValue::new("b").unwrap());
        let sealed = vault(None, &folder).unwrap().seal(&name, &value, [0; 24]).unwrap();
        assert_eq!(vault(None, &folder).unwrap().open(&name, &sealed).unwrap(), value);
        let mode = std::fs::metadata(temp.path().join(FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let chosen = Vault::new(&[1; 32]);
        assert!(vault(Some(&chosen), &folder).unwrap().open(&name, &sealed).is_err(), "the chosen key wins");
    }

    #[test]
    fn a_damaged_file_is_told_and_left_alone() {
        let temp = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(temp.path()).unwrap();
        folder.write_private(FILE, "c2hvcnQ=").unwrap();
        let refusal = vault(None, &folder).unwrap_err().to_string();
        assert!(
            refusal.contains(FILE) && refusal.contains("backup") && !refusal.contains("c2hvcnQ"),
            "{refusal}"
        );
        assert_eq!(std::fs::read_to_string(temp.path().join(FILE)).unwrap(), "c2hvcnQ=");
    }
}
