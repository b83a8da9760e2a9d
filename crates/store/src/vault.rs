//! The key that seals secrets before they are stored, and opens them again.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use base64::{alphabet, engine::DecodePaddingMode};
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use domain::{SecretName, SecretValue};

use crate::Error;

/// Bytes of a nonce: long enough to be drawn at random each time.
const NONCE: usize = 24;

/// A key of 256 bits (XChaCha20-Poly1305).
#[derive(Clone)]
pub struct Vault(XChaCha20Poly1305);

impl Vault {
    pub fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// A key as people write it: 32 bytes in base64, with or without `=` at the end.
    ///
    /// # Errors
    /// What is wrong with the text, without the text.
    pub fn from_base64(text: &str) -> Result<Self, String> {
        let config = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(&alphabet::STANDARD, config)
            .decode(text.trim())
            .map_err(|_| "is not base64; make a key with `openssl rand -base64 32`".to_owned())?;
        let key: [u8; 32] = bytes.try_into().map_err(|bytes: Vec<u8>| {
            format!("has {} bytes, not 32; make a key with `openssl rand -base64 32`", bytes.len())
        })?;
        Ok(Self::new(&key))
    }

    /// Seals a value under its name: what is sealed as one secret can't be passed off as another.
    ///
    /// `nonce` is random, and new for each call.
    pub fn seal(&self, name: &SecretName, value: &SecretValue, nonce: [u8; NONCE]) -> Result<String, Error> {
        let payload = Payload { msg: value.expose().as_bytes(), aad: name.as_str().as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| Error::Seal)?;
        Ok(STANDARD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// Opens what [`Vault::seal`] made of the secret of this name.
    ///
    /// # Errors
    /// If it was sealed with another key or under another name, or was damaged.
    pub fn open(&self, name: &SecretName, sealed: &str) -> Result<SecretValue, Error> {
        let wrong = || Error::Sealed { name: name.to_string() };
        let bytes = STANDARD.decode(sealed).map_err(|_| wrong())?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE>().ok_or_else(wrong)?;
        let payload = Payload { msg: sealed, aad: name.as_str().as_bytes() };
        let opened = self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| wrong())?;
        SecretValue::new(String::from_utf8(opened).map_err(|_| wrong())?).map_err(|_| wrong())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(key)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SecretName {
        SecretName::new(text).unwrap()
    }

    #[test]
    fn only_its_key_and_its_name_open_a_secret() {
        let (vault, value) = (Vault::new(&[7; 32]), SecretValue::new("hush").unwrap());
        let sealed = vault.seal(&name("hf_token"), &value, [1; NONCE]).unwrap();
        assert!(!sealed.contains("hush"));
        assert_eq!(vault.open(&name("hf_token"), &sealed).unwrap(), value);
        let refusals = [
            vault.open(&name("other"), &sealed),
            Vault::new(&[8; 32]).open(&name("hf_token"), &sealed),
            vault.open(&name("hf_token"), &sealed[..20]),
            vault.open(&name("hf_token"), "not base64"),
        ];
        for refusal in refusals {
            let text = refusal.unwrap_err().to_string();
            assert!(text.contains("SLIPWAY_SECRET_KEY") && !text.contains("hush"), "{text}");
        }
    }

    #[test]
    fn a_key_is_32_bytes_of_base64() {
        let text = STANDARD.encode([9; 32]);
        assert!(Vault::from_base64(&format!("{text}\n")).is_ok());
        assert!(Vault::from_base64(text.trim_end_matches('=')).is_ok());
        assert!(Vault::from_base64("c2hvcnQ=").unwrap_err().contains("5 bytes"));
        assert!(Vault::from_base64("???").unwrap_err().contains("base64"));
    }
}
