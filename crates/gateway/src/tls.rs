//! TLS with a certificate from files, which may be renewed while the server runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::http2;

/// Why a certificate can't be used.
#[derive(Debug, Error)]
#[error("{path}: {problem}")]
pub struct TlsError {
    pub path: PathBuf,
    pub problem: String,
}

/// A certificate with its key, as the files have it; clones follow each other's renewals.
#[derive(Clone)]
pub struct Tls {
    files: Arc<Files>,
    config: Arc<ArcSwap<(Arc<ServerConfig>, Stamp)>>,
}

struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// By when the files were changed it is told whether they were.
type Stamp = [Option<SystemTime>; 2];

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tls({})", self.files.certificate.display())
    }
}

impl Tls {
    /// Reads a chain of certificates and its private key, both PEM.
    ///
    /// # Errors
    /// With the file that is missing, is no PEM, or does not fit the other.
    pub fn load(certificate: PathBuf, key: PathBuf) -> Result<Self, TlsError> {
        let files = Files { certificate, key };
        let config = files.read()?;
        Ok(Self { files: Arc::new(files), config: Arc::new(ArcSwap::from_pointee(config)) })
    }

    /// Reads the files again if they have changed; true if connections get the new certificate from now on.
    ///
    /// # Errors
    /// If they can't be used; then the certificate stays that was.
    pub fn renew(&self) -> Result<bool, TlsError> {
        if self.config.load().1 == self.files.stamp() {
            return Ok(false);
        }
        self.config.store(Arc::new(self.files.read()?));
        Ok(true)
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load().0.clone())
    }
}

impl Files {
    fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| path.metadata().and_then(|known| known.modified()).ok())
    }

    fn read(&self) -> Result<(Arc<ServerConfig>, Stamp), TlsError> {
        // Before they are read: what changes in between is read again.
        let stamp = self.stamp();
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(&self.certificate, &error))?;
        if chain.is_empty() {
            return Err(wrong(&self.certificate, &"there is no PEM certificate in it"));
        }
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|error| wrong(&self.key, &error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| wrong(&self.certificate, &error))?;
        config.alpn_protocols = vec![http2::NAME.to_vec(), b"http/1.1".to_vec()];
        Ok((Arc::new(config), stamp))
    }
}

fn wrong(path: &Path, problem: &impl ToString) -> TlsError {
    TlsError { path: path.to_owned(), problem: problem.to_string() }
}
