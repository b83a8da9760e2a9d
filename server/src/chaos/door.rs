//! The server's doors, as a client finds them: its REST API with an admin's key, and its uploads.

use std::net::SocketAddr;

use anyhow::Context;
use bytes::Bytes;
use domain::Clock;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::clock::SystemClock;
use crate::uploads::signature::{UNSIGNED, authorize};

#[derive(Clone)]
pub struct Door {
    pub address: SocketAddr,
    pub key: String,
}

/// An answer that was no success.
#[derive(Debug, thiserror::Error)]
#[error("{what} was answered with {status}: {message}")]
pub struct Refused {
    pub what: String,
    pub status: StatusCode,
    pub message: String,
}

impl Door {
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.ask(Method::PATCH, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.ask(Method::DELETE, path, None).await
    }

    /// Pushes an archive: as a further deployment of `model`, or as a new model of this name. Answers with the ids of the model and
    /// of the deployment.
    pub async fn push(
        &self,
        name: &str,
        model: Option<&str>,
        config: &Value,
        archive: Vec<u8>,
    ) -> anyhow::Result<(String, String)> {
        let leave = self.get("/v1/blobs/credentials/model").await?;
        let of = |path: &str| leave.pointer(path).and_then(Value::as_str).unwrap_or_default();
        let path = format!("/s3/{}/{}", of("/s3_bucket"), of("/s3_key"));
        self.upload(&path, &leave, archive).await?;
        let deployment = json!({ "config": config });
        let source = match model {
            None => json!({ "name": name, "deployment": deployment, "s3_key": of("/s3_key") }),
            Some(_) => json!({ "deployment": deployment, "s3_key": of("/s3_key") }),
        };
        let path = model.map_or("/v1/models".to_owned(), |model| format!("/v1/models/{model}/deployments"));
        let made = self.post(&path, json!({ "source": source })).await?;
        let id = |path: &str| made.pointer(path).and_then(Value::as_str).map(str::to_owned);
        let ids = id("/model/id").zip(id("/deployment/id"));
        ids.with_context(|| format!("a push was answered without ids: {made}"))
    }

    async fn upload(&self, path: &str, leave: &Value, archive: Vec<u8>) -> anyhow::Result<()> {
        let of = |name: &str| leave["creds"][name].as_str().unwrap_or_default();
        let seconds = SystemClock::new().now().seconds();
        let at = OffsetDateTime::from_unix_timestamp(seconds).context("the clock shows no date")?;
        let stamp = format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}Z",
            at.year(),
            u8::from(at.month()),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        );
        let request = Request::put(path)
            .header(HOST, self.address.to_string())
            .header("x-amz-date", stamp)
            .header("x-amz-content-sha256", UNSIGNED)
            .header("x-amz-security-token", of("aws_session_token"))
            .body(Full::new(Bytes::from(archive)))?;
        let (mut parts, body) = request.into_parts();
        let region = leave["s3_region"].as_str().unwrap_or_default();
        let signed = authorize(&parts, of("aws_access_key_id"), of("aws_secret_access_key"), region)?;
        parts.headers.insert(AUTHORIZATION, HeaderValue::from_str(&signed)?);
        self.send(Request::from_parts(parts, body)).await?;
        Ok(())
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> anyhow::Result<Value> {
        let body = body.map(|body| serde_json::to_vec(&body)).transpose()?.unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.address.to_string())
            .header(AUTHORIZATION, format!("Api-Key {}", self.key))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))?;
        let body = self.send(request).await?;
        Ok(serde_json::from_slice(&body)?)
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Bytes> {
        let what = format!("{} {}", request.method(), request.uri());
        let stream = tokio::net::TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        connection.abort();
        if !status.is_success() {
            let message = serde_json::from_slice::<Value>(&body)
                .ok()
                .and_then(|body| body["message"].as_str().map(str::to_owned))
                .unwrap_or_else(|| String::from_utf8_lossy(&body).chars().take(300).collect());
            return Err(Refused { what, status, message }.into());
        }
        Ok(body)
    }
}
