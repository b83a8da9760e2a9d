//! A fast server of one's own, with a start of a known length: it says in each answer since when it could answer.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::signal::unix::{SignalKind, signal};

use crate::world::micros;

/// The header with the moment, in microseconds since 1970.
pub const ABLE_AT: &str = "x-able-at";

/// Listens on `$PORT` after so many milliseconds; stops when it is told to.
pub async fn serve(load_ms: u64) {
    let port: u16 = std::env::var("PORT").unwrap().parse().unwrap();
    tokio::time::sleep(Duration::from_millis(load_ms)).await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let able_at = micros().to_string();
    let mut stop = signal(SignalKind::terminate()).unwrap();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            _ = stop.recv() => return,
        };
        let _ = stream.set_nodelay(true);
        let able_at = able_at.clone();
        tokio::spawn(async move {
            let service = service_fn(move |_| {
                let response = Response::builder().header(ABLE_AT, &able_at);
                let body = Full::new(Bytes::from_static(b"{\"ok\":true}"));
                async move { Ok::<_, Infallible>(response.body(body).unwrap()) }
            });
            let _ = Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
