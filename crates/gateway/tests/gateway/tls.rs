//! Encrypted connections, and certificates that are renewed.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use gateway::{GatewayConfig, Tls};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::stage::{Client, PRODUCTION, Stage, Toy, plain, predict, simple, text};

/// Writes a new certificate for `localhost` with its key, and returns what a client trusts it by.
pub fn certify(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("certificate.pem"), made.cert.pem()).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    made.cert.der().clone()
}

/// Connects, and offers these protocols.
pub async fn connect(
    addr: SocketAddr,
    trusted: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    let stream = TcpStream::connect(addr).await.unwrap();
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("localhost").unwrap(), stream).await
}

#[tokio::test]
async fn requests_pass_encrypted_and_a_renewed_certificate_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    assert!(Tls::load(certificate.clone(), key.clone()).unwrap_err().to_string().contains("certificate.pem"));
    let first = certify(folder.path());
    let tls = Tls::load(certificate.clone(), key.clone()).unwrap();
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners = gateway::bind(&[any], 2).unwrap().with_tls(&[any], tls.clone()).unwrap();
    let addr = listeners.addrs()[1];
    let stage = Stage::listening(GatewayConfig::default(), listeners);
    let toy = Toy::start(|_| async { plain("encrypted") }).await;
    stage.gateway.publish(simple(1, &[("r1", toy.port)], None));

    let mut client = Client::over(connect(addr, &first, &[]).await.unwrap()).await;
    for _ in 0..3 {
        let answer = client.send(predict(PRODUCTION, "{}")).await;
        assert_eq!((answer.status(), text(answer).await.as_str()), (StatusCode::OK, "encrypted"));
    }
    // Whoever does not speak TLS gets no answer, and harms nobody.
    let mut rude = TcpStream::connect(addr).await.unwrap();
    rude.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut heard = Vec::new();
    let _ = rude.read_to_end(&mut heard).await;
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");

    assert!(!tls.renew().unwrap(), "nothing has changed");
    // What can't be used leaves the former one in place.
    let later = certificate.metadata().unwrap().modified().unwrap() + std::time::Duration::from_secs(5);
    let touch = |path: &Path, text: &str| {
        std::fs::write(path, text).unwrap();
        std::fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
    };
    touch(&certificate, "no certificate");
    assert!(tls.renew().unwrap_err().to_string().contains("certificate.pem"));
    assert!(connect(addr, &first, &[]).await.is_ok());

    let second = certify(folder.path());
    assert!(tls.renew().unwrap());
    assert!(connect(addr, &first, &[]).await.is_err(), "new connections get the new one");
    let mut fresh = Client::over(connect(addr, &second, &[]).await.unwrap()).await;
    assert_eq!(fresh.send(predict(PRODUCTION, "{}")).await.status(), StatusCode::OK);
    assert_eq!(client.send(predict(PRODUCTION, "{}")).await.status(), StatusCode::OK, "older ones go on");
    drop((client, fresh));
    stage.stop().await;
}
