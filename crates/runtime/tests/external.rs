//! Files that a Truss names by their address are fetched by the build and lie where the model looks for them.

#![allow(clippy::unwrap_used)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;

use domain::{ArtifactId, BuildSpec, Runtime as _};
use serde_json::json;
use support::{Life, ask, custom, folder};
use truss::patch::{Op, apply};

/// Answers `count` requests with a file, then with 404.
fn serve(count: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/weights.bin", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut head = [0; 2048];
            let _ = stream.read(&mut head).unwrap();
            let answer = match index < count {
                true => "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nweights".to_owned(),
                false => {
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
                }
            };
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    url
}

const SERVER: &str = "
import http.server, os
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = open('data/deep/weights.bin', 'rb').read()
        self.send_response(200); self.send_header('Content-Length', str(len(body))); self.end_headers(); self.wfile.write(body)
http.server.HTTPServer(('127.0.0.1', int(os.environ['PORT'])), H).serve_forever()
";

#[tokio::test]
async fn external_data_is_fetched_once_and_is_in_place_for_each_replica() {
    let data = folder();
    let mut config = custom(data.path(), SERVER);
    let url = serve(1);
    config["external_data"] = json!([{ "url": url, "local_data_path": "deep/weights.bin" }]);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    life.build(&config).await.unwrap();
    for name in ["rep1", "rep2"] {
        let id = life.start(name, &config).await;
        let port = life.ready(&id).await.port;
        assert!(ask(port, "GET /", "").await.unwrap().ends_with("weights"));
    }
    let held = life.runtime.storage(&support::row(&config)).await;
    assert_eq!(held.external_bytes(), 7, "one file, however many replicas it lies in: {held:?}");
}

#[tokio::test]
async fn builds_that_want_the_same_data_at_once_fetch_it_once() {
    let data = folder();
    let mut config = custom(data.path(), SERVER);
    config["external_data"] = json!([{ "url": serve(1), "local_data_path": "deep/weights.bin" }]);
    let life = Life::begin(data.path()).await;
    assert_eq!(tokio::join!(life.build(&config), life.build(&config)), (Ok(()), Ok(())));
}

#[tokio::test]
async fn data_that_a_change_in_place_names_is_fetched_when_it_is_prepared() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();

    let item = json!({ "url": serve(1), "local_data_path": "deep/weights.bin" });
    let step = json!({ "type": "external_data", "body": { "action": "ADD", "item": item } });
    let (base, next) = (data.path().join("artifacts/art1"), data.path().join("artifacts/art2"));
    let before = truss::Config::from_json(&config).unwrap();
    let signature = truss::Signature::default();
    let changed = apply(&base, &next, &before, &[Op::read(&step).unwrap()], &signature).unwrap();
    let spec = BuildSpec {
        model: support::model(),
        deployment: support::deployment(),
        artifact: ArtifactId::new("art2"),
        config: changed.config.full(),
    };
    life.runtime.build(&spec, &|_| {}).await.unwrap();
    // Its code is that of before.
    let id = life.start("rep1", &spec.config).await;
    let port = life.ready(&id).await.port;
    assert!(ask(port, "GET /", "").await.unwrap().ends_with("weights"));
}

#[tokio::test]
async fn data_that_can_not_be_fetched_fails_the_build_with_its_address() {
    let data = folder();
    let mut config = custom(data.path(), SERVER);
    let url = serve(0);
    config["external_data"] = json!([{ "url": url, "local_data_path": "weights.bin" }]);
    let life = Life::begin(data.path()).await;
    let failure = life.build(&config).await.unwrap_err();
    assert!(failure.reason.contains(&url) && failure.reason.contains("404"), "{}", failure.reason);
}
