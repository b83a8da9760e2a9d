//! The command line's way to a running server on this machine.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, bail};
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};

use crate::config::Config;

/// The file in the data folder by which its owner reaches the server.
pub const FILE: &str = "local.json";

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
