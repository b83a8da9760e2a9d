//! As `closed`, over encryption or HTTP/2, and with bodies of any size: what goes through, and what it costs the proxy. These
//! callers use libraries, so they may be slower than the proxy: then its processor time alone says something.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Target;
use super::poll::now;
use super::tally::percentiles;

/// Requests of one connection at once, where it carries several.
const STREAMS: usize = 8;

/// How a proxy is spoken to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Plain,
    Tls,
    /// Encrypted, too.
    Http2,
}

impl Protocol {
    pub fn read(name: &str) -> Self {
        match name {
            "plain" => Self::Plain,
            "tls" => Self::Tls,
            "http2" => Self::Http2,
            _ => panic!("there is no protocol {name}; there are plain, tls, http2"),
        }
    }
}

/// Writes a certificate for `localhost` into a folder, as each proxy wants it.
pub fn certify(folder: &str) -> Value {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let both = format!("{certificate}{key}");
    for (name, text) in [("certificate.pem", &certificate), ("key.pem", &key), ("both.pem", &both)] {
        std::fs::write(format!("{folder}/{name}"), text).unwrap();
    }
    json!({})
}

#[derive(Clone)]
enum Sender {
    Http1(Rc<RefCell<http1::SendRequest<Full<Bytes>>>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// What became of the requests.
#[derive(Default)]
struct Sum {
    answered: Cell<u64>,
    lost: Cell<u64>,
    took: RefCell<Vec<u64>>,
}

/// `at_once` requests are under way all the time, for so many seconds, each with a body of so many bytes.
pub fn run(target: &Target, protocol: Protocol, at_once: usize, seconds: u64, body: usize) -> Value {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, call(target, protocol, at_once, seconds, body))
}

async fn call(target: &Target, protocol: Protocol, at_once: usize, seconds: u64, body: usize) -> Value {
    let connector = (protocol != Protocol::Plain).then(|| connector(protocol));
    let lanes = if protocol == Protocol::Http2 { STREAMS } else { 1 };
    let mut senders = Vec::new();
    for _ in 0..at_once / lanes {
        let sender = connect(target, protocol, connector.as_ref()).await;
        senders.extend(std::iter::repeat_n(sender, lanes));
    }
    let sum = Rc::new(Sum::default());
    let request = request(target, protocol, body);
    let (before, begin) = (target.proxy.processor(), now());
    let end = begin + seconds * 1_000_000_000;
    let lanes: Vec<_> = senders
        .into_iter()
        .map(|sender| tokio::task::spawn_local(lane(sender, request.clone(), sum.clone(), end)))
        .collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    let (processor, passed) = (target.proxy.processor() - before, (now() - begin) as f64 / 1e9);
    let answered = sum.answered.get();
    json!({
        "answered": answered,
        "lost": sum.lost.get(),
        "per_second": answered as f64 / passed,
        "processor_us": processor as f64 / 1e3 / answered as f64,
        "load": processor as f64 / 1e9 / passed,
        "took_us": percentiles(sum.took.take()),
    })
}

/// One request after the other; ends early if the connection does.
async fn lane(sender: Sender, request: Request<Full<Bytes>>, sum: Rc<Sum>, end: u64) {
    while now() < end {
        let sent = now();
        match whole(&sender, request.clone()).await {
            Some(true) => {
                sum.answered.set(sum.answered.get() + 1);
                sum.took.borrow_mut().push(now() - sent);
            }
            Some(false) => sum.lost.set(sum.lost.get() + 1),
            None => {
                sum.lost.set(sum.lost.get() + 1);
                return;
            }
        }
    }
}

/// Whether a request was answered with 200, to the end; `None` if the connection is of no use any more.
async fn whole(sender: &Sender, request: Request<Full<Bytes>>) -> Option<bool> {
    let mut answer: Response<Incoming> = match sender {
        Sender::Http1(sender) => {
            poll_fn(|cx| sender.borrow_mut().poll_ready(cx)).await.ok()?;
            let answering = sender.borrow_mut().send_request(request);
            answering.await.ok()?
        }
        Sender::Http2(sender) => sender.clone().send_request(request).await.ok()?,
    };
    while let Some(frame) = answer.frame().await {
        frame.ok()?;
    }
    Some(answer.status().is_success())
}

fn request(target: &Target, protocol: Protocol, body: usize) -> Request<Full<Bytes>> {
    let start = "{\"text\":\"";
    let text = format!("{start}{}\"}}", "x".repeat(body - start.len() - 2));
    let uri = match protocol {
        Protocol::Http2 => format!("https://localhost{}", target.path),
        Protocol::Plain | Protocol::Tls => target.path.clone(),
    };
    let mut request = Request::post(uri)
        .header("authorization", format!("Api-Key {}", target.key))
        .header("content-type", "application/json")
        .body(Full::from(text))
        .unwrap();
    if protocol != Protocol::Http2 {
        request.headers_mut().insert("host", "localhost".parse().unwrap());
    }
    request
}

/// Trusts what is in `$BENCH_TRUST`, and offers one protocol.
fn connector(protocol: Protocol) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from_pem_file(std::env::var("BENCH_TRUST").unwrap()).unwrap();
    roots.add(trusted).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name: &[u8] = if protocol == Protocol::Http2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![name.to_vec()];
    TlsConnector::from(Arc::new(config))
}

async fn connect(target: &Target, protocol: Protocol, connector: Option<&TlsConnector>) -> Sender {
    let stream = TcpStream::connect(target.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let Some(connector) = connector else {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::task::spawn_local(connection);
        return Sender::Http1(Rc::new(RefCell::new(sender)));
    };
    let name = ServerName::try_from("localhost").unwrap();
    let stream: TlsStream<TcpStream> = connector.connect(name, stream).await.unwrap();
    if protocol == Protocol::Tls {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::task::spawn_local(connection);
        return Sender::Http1(Rc::new(RefCell::new(sender)));
    }
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]), "the proxy speaks no HTTP/2");
    let (sender, connection) =
        http2::Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await.unwrap();
    tokio::task::spawn_local(connection);
    Sender::Http2(sender)
}
