//! The command line's way to a running server on this machine.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::data_folder::{DataFolder, write_private};

/// The file in the data folder by which its owner reaches the server.
pub const FILE: &str = "local.json";
/// How soon it is tried again to write the file.
const AGAIN: Duration = Duration::from_secs(2);

/// Where the running server is, and the secret that opens its local door. Written at each start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Local {
    pub address: SocketAddr,
    pub public_url: String,
    pub secret: String,
    /// The database it uses, without a password; empty if an earlier version wrote this.
    #[serde(default)]
    pub database: String,
}

impl Local {
    /// Writes it to the data folder. Where that fails, as on a full disk, the server serves all the same: the task that comes back
    /// tries again until it is done, or until `stop`.
    ///
    /// # Errors
    /// None that a disk could make.
    pub fn write(
        &self,
        folder: &DataFolder,
        stop: CancellationToken,
    ) -> anyhow::Result<Option<JoinHandle<()>>> {
        let text = serde_json::to_string(self)?;
        let Err(error) = folder.write_private(FILE, &text) else { return Ok(None) };
        tracing::warn!(%error, "{FILE} could not be written, so this machine's command line does not find the server yet");
        let folder = folder.path().to_owned();
        Ok(Some(tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
                if write_private(&folder, FILE, &text).is_ok() {
                    tracing::info!("this machine's command line finds the server again");
                    return;
                }
            }
        })))
    }

    /// The server that runs on the configured data folder.
    pub fn find(config: &Config) -> anyhow::Result<Self> {
        let path = config.data_dir.join(FILE);
        Self::read(&path).with_context(|| {
            format!("no server runs on {}; start it with `slipway serve`", config.data_dir.display())
        })
    }

    /// Whether anybody answers there.
    pub async fn answers(&self) -> bool {
        tokio::net::TcpStream::connect(self.address).await.is_ok()
    }

    /// Whether it uses another database than this one, as far as it says.
    pub fn uses_another(&self, than: &str) -> bool {
        !self.database.is_empty() && self.database != than
    }

    fn read(path: &Path) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }

    /// A fresh one-time link to the dashboard: for a person, or for the oldest admin.
    pub async fn sign_in_link(&self, email: Option<&str>) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Link {
            link: String,
        }
        Ok(self.post::<Link>("/api/local/sign-in-link", serde_json::json!({ "email": email })).await?.link)
    }

    /// A new API key's text.
    pub async fn create_key(&self, name: &str, role: &str) -> anyhow::Result<String> {
        #[derive(Deserialize)]
        struct Created {
            api_key: String,
        }
        let body = serde_json::json!({ "name": name, "role": role });
        Ok(self.post::<Created>("/api/local/keys", body).await?.api_key)
    }

    async fn post<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
        body: serde_json::Value,
    ) -> anyhow::Result<T> {
        let stream = tokio::net::TcpStream::connect(self.address).await.with_context(|| {
            format!("the server does not answer on {}; start it with `slipway serve`", self.address)
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::post(path)
            .header(HOST, "localhost")
            .header(AUTHORIZATION, format!("Bearer {}", self.secret))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(serde_json::to_vec(&body)?)))?;
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        connection.abort();
        if !status.is_success() {
            let message = serde_json::from_slice::<serde_json::Value>(&body)
                .ok()
                .and_then(|body| Some(body.get("message")?.as_str()?.to_owned()))
                .unwrap_or_else(|| format!("it answered {status}"));
            bail!("the server refused: {message}");
        }
        Ok(serde_json::from_slice(&body)?)
    }
}
