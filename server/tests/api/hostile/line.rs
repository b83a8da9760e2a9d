//! How doors are asked without end: one connection, many keys, and an eye on the memory of the whole server.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::support::World;

/// The server answers by other threads than the one that asks.
#[global_allocator]
static ALLOCATOR: mangle::CountingAll = mangle::CountingAll;

/// A door that takes longer than this has hung.
pub const HUNG: Duration = Duration::from_secs(30);
/// Keys that take turns, so that the rate of one is not what answers in the place of the doors.
const KEYS: usize = 61;
/// What the server may hold more once all was answered, in bytes: what it was sent is none of it.
const KEPT: usize = 64 << 20;
/// What it may hold more meanwhile, in bytes.
const MOST: usize = 256 << 20;

/// One connection that is opened anew where the server closed it.
pub struct Line<'a> {
    world: &'a World,
    sender: Option<SendRequest<Full<Bytes>>>,
    keys: Vec<String>,
    /// What was answered, and how much of it was «not so often».
    answered: usize,
    limited: usize,
    growth: mangle::Growth,
}

impl<'a> Line<'a> {
    pub async fn to(world: &'a World) -> Self {
        let mut keys = Vec::new();
        for number in 0..KEYS {
            keys.push(format!("Bearer {}", world.create_key(&format!("hostile-{number}"), "admin").await));
        }
        Self { world, sender: None, keys, answered: 0, limited: 0, growth: mangle::Growth::begin() }
    }

    /// The header of the key whose turn it is.
    pub fn key(&self) -> String {
        self.keys[self.answered % KEYS].clone()
    }

    /// Sends a request, if it is one at all, and judges its answer.
    pub async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Option<(StatusCode, String)> {
        let body = body.into();
        let mut request = Request::builder().method(method).uri(path).header("host", self.world.host());
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let request = request.body(Full::from(body.clone())).ok()?;
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => {
                let stream = TcpStream::connect(self.world.address).await.unwrap();
                let (sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
                tokio::spawn(connection);
                sender
            }
        };
        let case = || format!("{method} {path} {headers:?} {}", String::from_utf8_lossy(&body));
        let asked = async {
            sender.ready().await?;
            let (parts, body) = sender.send_request(request).await?.into_parts();
            Ok::<_, hyper::Error>((parts.status, body.collect().await?.to_bytes()))
        };
        let answer = tokio::time::timeout(HUNG, asked).await.unwrap_or_else(|_| panic!("hung: {}", case()));
        // A connection may be closed under what is not even a request.
        let (status, text) = answer.ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(
            status.as_u16() < 500 || status == StatusCode::NOT_IMPLEMENTED,
            "{status} {text}: {}",
            case()
        );
        self.answered += 1;
        self.limited += usize::from(status == StatusCode::TOO_MANY_REQUESTS);
        self.sender = Some(sender);
        Some((status, text))
    }

    /// Sends JSON with the key whose turn it is.
    pub async fn json(&mut self, method: &str, path: &str, body: String) -> Option<(StatusCode, String)> {
        let key = self.key();
        let headers = [("authorization", key.as_str()), ("content-type", "application/json")];
        self.send(method, path, &headers, body).await
    }

    /// That the doors were what answered, and that the server keeps nothing of what it was sent.
    pub fn judge(self) {
        let Self { answered, limited, growth, .. } = self;
        assert!(limited * 10 <= answered, "{limited} of {answered} answers were 429: no door was asked");
        let (kept, most) = (growth.kept(), growth.most());
        assert!(kept <= KEPT, "{kept} bytes more are held after {answered} requests; {KEPT} are allowed");
        assert!(most <= MOST, "{most} bytes more were held at once; {MOST} are allowed");
    }
}
