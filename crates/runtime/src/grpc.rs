//! How a replica is that speaks gRPC: what its health service says.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http2::handshake;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use crate::probe::Health;

/// A question about the server as a whole: a message without a field.
const QUESTION: &[u8] = &[0, 0, 0, 0, 0];
/// The answer that it serves: a message of two bytes, which say that field 1 is 1.
const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
/// The most of an answer that is read, in bytes.
const MOST: usize = 1024;

/// What goes wrong with a question; nobody is told.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Asks over a connection that was made. A server without a health service is ready when it says so.
pub(crate) async fn ask(stream: TcpStream, port: u16, limit: Duration) -> Health {
    match tokio::time::timeout(limit, check(stream, port)).await {
        Ok(Ok(true)) => Health::Ready,
        _ => Health::NotReady,
    }
}

async fn check(stream: TcpStream, port: u16) -> Result<bool, BoxError> {
    let (mut sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let question = Request::post(format!("http://127.0.0.1:{port}/grpc.health.v1.Health/Check"))
        .version(Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(Bytes::from_static(QUESTION)))?;
    let exchange = async {
        let (head, body) = sender.send_request(question).await?.into_parts();
        let body = Limited::new(body, MOST).collect().await?;
        let trailers = body.trailers().cloned().unwrap_or_default();
        Ok(says_ready(&head.headers, &trailers, &body.to_bytes()))
    };
    tokio::select! {
        answered = exchange => answered,
        ended = connection => Err(ended.err().map_or_else(|| "it closed the connection".into(), Into::into)),
    }
}

/// `0` is an answer, and `12` says that there is no such service.
fn says_ready(head: &HeaderMap, trailers: &HeaderMap, message: &[u8]) -> bool {
    let status = head.get("grpc-status").or_else(|| trailers.get("grpc-status"));
    match status.map(|status| status.as_bytes()) {
        Some(b"0") => message == SERVING,
        Some(b"12") => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http::Response;
    use hyper::body::{Body, Frame, Incoming};
    use hyper::server::conn::http2::Builder;
    use hyper::service::service_fn;
    use tokio::net::TcpListener;

    use super::*;

    /// Frames, the last one first.
    struct Told(Vec<Frame<Bytes>>);

    impl Body for Told {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Ready(self.0.pop().map(Ok))
        }
    }

    /// What a server is taken for that answers with this message and status.
    async fn taken_for(message: &'static [u8], status: &'static str) -> Health {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let service = service_fn(move |request: Request<Incoming>| async move {
                assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
                let question = request.into_body().collect().await.unwrap().to_bytes();
                assert_eq!(question, QUESTION);
                let trailers =
                    HeaderMap::from_iter([("grpc-status".parse().unwrap(), status.parse().unwrap())]);
                Ok::<_, Infallible>(Response::new(Told(vec![
                    Frame::trailers(trailers),
                    Frame::data(Bytes::from_static(message)),
                ])))
            });
            let _ = Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let health = ask(stream, port, Duration::from_secs(10)).await;
        server.abort();
        health
    }

    #[tokio::test]
    async fn a_server_is_ready_when_its_health_service_says_so_or_is_not_there() {
        assert_eq!(taken_for(SERVING, "0").await, Health::Ready);
        assert_eq!(taken_for(&[], "12").await, Health::Ready);
        assert_eq!(taken_for(&[0, 0, 0, 0, 2, 8, 2], "0").await, Health::NotReady, "it is not serving");
        assert_eq!(taken_for(&[0, 0, 0, 0, 0], "0").await, Health::NotReady, "it does not know");
        assert_eq!(taken_for(&[], "14").await, Health::NotReady);
    }

    #[tokio::test]
    async fn a_server_that_speaks_something_else_is_not_ready() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            stream.writable().await.unwrap();
            let _ = stream.try_write(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        });
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert_eq!(ask(stream, port, Duration::from_secs(10)).await, Health::NotReady);
        server.await.unwrap();
    }
}
