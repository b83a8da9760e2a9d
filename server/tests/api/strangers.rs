//! Whoever is not known has an answer before anything is read that they send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Call, KEY, World, with_key};

/// Far longer than an answer takes, and shorter than the time that a body has to arrive.
const SOON: Duration = Duration::from_secs(30);
/// What the heads announce, and nobody ever sends.
const LENGTH: usize = 100 << 20;

/// Sends the head of a request with a large body, and nothing of the body; answers the first line of the answer.
async fn first_line(world: &World, method: &str, path: &str, key: &str) -> String {
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {key}\r\ncontent-type: application/json\r\n\
         content-length: {LENGTH}\r\n\r\n",
        world.host()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = async {
        while !answer.contains(&b'\n') {
            let mut some = [0; 1024];
            match stream.read(&mut some).await.unwrap() {
                0 => break,
                read => answer.extend_from_slice(&some[..read]),
            }
        }
    };
    let came = tokio::time::timeout(SOON, read).await;
    assert!(came.is_ok(), "{method} {path} waits for the body of somebody who is not known");
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_body() {
    let world = World::start().await;
    for (method, path) in [
        ("POST", "/graphql/"),
        ("POST", "/graphql"),
        ("POST", "/v1/models"),
        ("POST", "/v1/secrets"),
        ("PATCH", "/v1/models/x/environments/production"),
        ("POST", "/v1/models/x/deployments/y/patches"),
        ("POST", "/v1/nowhere"),
        ("POST", "/api/local/keys"),
        ("POST", "/api/local/sign-in-link"),
    ] {
        let line = first_line(&world, method, path, "nobody-has-this-key").await;
        assert!(line.starts_with("HTTP/1.1 401 "), "{method} {path}: {line}");
    }
    let upload = first_line(&world, "PUT", "/s3/uploads/x", KEY).await;
    assert!(upload.starts_with("HTTP/1.1 4"), "an upload needs a signature: {upload}");
    world.stop().await;
}

#[tokio::test]
async fn a_strangers_form_is_short() {
    let world = World::start().await;
    let cookie = world.first_admin().await;
    let long = "x".repeat(60_000);
    let form = |function: &str, fields: &str| {
        Call::new("POST", format!("/api/ui/{function}"))
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("{fields}{long}"))
    };
    for call in [
        form("sign_in", "email=ada@example.org&password="),
        form("sign_in", "email=ada@example.org&password=").header("cookie", "slipway_session=nobody"),
        form("set_secret", "name=a&value="),
        form("set_secret", "name=a&value=").header("authorization", "Bearer nobody-has-this-key"),
    ] {
        let answer = world.send(call).await;
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
    for call in [
        form("set_secret", "name=a&value=").header("cookie", cookie),
        with_key(form("set_secret", "name=b&value=")),
    ] {
        let answer = world.send(call).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let wrong = world.act_as("", "sign_in", &[("email", "ada@example.org"), ("password", "wrong")]).await;
    assert_eq!(wrong.status, 403, "a short form is looked at: {}", wrong.text());
    world.stop().await;
}
