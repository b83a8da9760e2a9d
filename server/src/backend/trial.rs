//! *Try it*: one request through the gateway, as any caller would send it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use app::error::AppError;
use app::view::TryAnswer;
use bytes::Bytes;
use domain::{Clock, Deployment, ModelId};
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;

/// The most of an answer that is shown, in bytes.
const SHOWN: usize = 64 << 10;
/// The most of an answer that is read.
const READ: usize = 4 << 20;
/// A model that sleeps may need a while to wake.
const PATIENCE: Duration = Duration::from_secs(110);

/// Calls the gateway from within the server, with a key that exists only in this process.
#[derive(Clone)]
pub struct Trial {
    pub address: SocketAddr,
    pub key: Arc<str>,
    pub clock: Arc<dyn Clock>,
}

impl Trial {
    pub async fn send(
        &self,
        model: &ModelId,
        deployment: &Deployment,
        input: &str,
    ) -> Result<TryAnswer, AppError> {
        let target = if deployment.is_development() {
            "development".into()
        } else {
            format!("deployment/{}", deployment.id)
        };
        let began = self.clock.monotonic();
        let call = self.call(format!("/model/{model}/{target}/predict"), input.to_owned());
        let answer = match tokio::time::timeout(PATIENCE, call).await {
            Ok(answer) => answer.map_err(|error| AppError::Unavailable {
                message: format!("The model's answer could not be read: {error}."),
            })?,
            Err(_) => {
                let message = format!("There was no answer within {} seconds.", PATIENCE.as_secs());
                return Err(AppError::Unavailable { message });
            }
        };
        let millis = u64::try_from(self.clock.monotonic() - began).unwrap_or(0);
        Ok(TryAnswer { status: answer.0, millis, body: shown(&answer.2), replica: answer.1 })
    }

    /// The status of one request to a path; nothing if there was no answer in time.
    pub async fn status(&self, path: String, input: String) -> Option<u16> {
        let answer = tokio::time::timeout(PATIENCE, self.call(path, input)).await;
        answer.ok()?.ok().map(|(status, _, _)| status)
    }

    async fn call(
        &self,
        path: String,
        input: String,
    ) -> Result<(u16, Option<String>, Bytes), Box<dyn std::error::Error + Send + Sync>> {
        let stream = tokio::net::TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let connection = tokio::spawn(connection);
        let request = Request::post(path)
            .header(HOST, "localhost")
            .header(AUTHORIZATION, format!("Bearer {}", self.key))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(input)))?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        // `DEPLOYMENT/REPLICA`
        let served = response.headers().get("x-served-by").and_then(|value| value.to_str().ok());
        let replica = served.and_then(|served| served.split_once('/')).map(|(_, replica)| replica.to_owned());
        let body = Limited::new(response.into_body(), READ).collect().await;
        connection.abort();
        Ok((status, replica, body?.to_bytes()))
    }
}

/// The body as text: indented when it is JSON, cut where it is long.
fn shown(body: &Bytes) -> String {
    let mut text = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(value) => serde_json::to_string_pretty(&value).unwrap_or_default(),
        Err(_) => String::from_utf8_lossy(body).into_owned(),
    };
    if text.len() > SHOWN {
        let cut = (0..=SHOWN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(cut);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_are_cut_between_letters() {
        let text = shown(&Bytes::from("é".repeat(SHOWN)));
        assert!(text.len() <= SHOWN + 3 && text.ends_with('…'));
        assert_eq!(shown(&Bytes::from_static(b"{\"a\":1}")), "{\n  \"a\": 1\n}");
    }
}
