//! One small request to a replica.

use std::net::Ipv4Addr;
use std::time::Duration;

use domain::Endpoints;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::grpc;

/// The most of an answer that is read, in bytes.
const MOST: u64 = 64 * 1024;

/// What a replica's health endpoint said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// Nobody listens.
    Silent,
    /// It answers, but not with success.
    NotReady,
    Ready,
}

/// Asks how a replica on a loopback port is.
pub(crate) async fn probe(port: u16, endpoints: &Endpoints, limit: Duration) -> Health {
    match connect(port, limit).await {
        Some(stream) => ask(stream, port, endpoints, limit).await,
        None => Health::Silent,
    }
}

/// A connection to a loopback port, if anybody listens.
pub(crate) async fn connect(port: u16, limit: Duration) -> Option<TcpStream> {
    tokio::time::timeout(limit, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await.ok()?.ok()
}

/// Asks over a connection that was made; success is any status from 200 to 299, or what gRPC's health service calls serving.
pub(crate) async fn ask(stream: TcpStream, port: u16, endpoints: &Endpoints, limit: Duration) -> Health {
    match endpoints.grpc {
        true => grpc::ask(stream, port, limit).await,
        false => ask_http(stream, port, &endpoints.readiness, limit).await,
    }
}

async fn ask_http(mut stream: TcpStream, port: u16, path: &str, limit: Duration) -> Health {
    let exchange = async {
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        // The status is in the first line: `HTTP/1.1 200 OK`.
        let mut head = [0u8; 12];
        stream.read_exact(&mut head).await?;
        std::io::Result::Ok(head)
    };
    match tokio::time::timeout(limit, exchange).await {
        Ok(Ok(head)) if head.starts_with(b"HTTP/1.") && head[9] == b'2' => Health::Ready,
        _ => Health::NotReady,
    }
}

/// Sends an empty POST and reads the whole answer: its status, and its body as text.
pub(crate) async fn post(port: u16, path: &str, limit: Duration) -> std::io::Result<(u16, String)> {
    let exchange = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.take(MOST).read_to_end(&mut bytes).await?;
        std::io::Result::Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = tokio::time::timeout(limit, exchange)
        .await
        .map_err(|_| std::io::Error::new(std::io::ErrorKind::TimedOut, "it did not answer in time"))??;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| std::io::Error::other("its answer is no HTTP"))?;
    Ok((status, body.to_owned()))
}
