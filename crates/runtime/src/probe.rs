//! One small HTTP request to a replica.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a replica's health endpoint said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// Nobody listens.
    Silent,
    /// It answers, but not with success.
    NotReady,
    Ready,
}

/// Asks `path` on a loopback port; success is any status from 200 to 299.
pub(crate) async fn probe(port: u16, path: &str, limit: Duration) -> Health {
    match connect(port, limit).await {
        Some(stream) => ask(stream, port, path, limit).await,
        None => Health::Silent,
    }
}

/// A connection to a loopback port, if anybody listens.
pub(crate) async fn connect(port: u16, limit: Duration) -> Option<TcpStream> {
    tokio::time::timeout(limit, TcpStream::connect((Ipv4Addr::LOCALHOST, port))).await.ok()?.ok()
}

/// Asks over a connection that was made.
pub(crate) async fn ask(mut stream: TcpStream, port: u16, path: &str, limit: Duration) -> Health {
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
