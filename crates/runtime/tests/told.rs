//! Running code is told which environment it serves, without a new start.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use domain::{EnvironmentName, Runtime};
use support::{Life, ask, custom, folder, truss};

const SERVER: &str = include_str!("support/server.py");

/// A custom server finds the name in a file; it is empty while it serves no environment.
#[tokio::test]
async fn the_name_is_in_a_file_and_a_next_server_knows_what_was_told() {
    let data = folder();
    let config = custom(data.path(), SERVER);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let id = life.start("rep1", &config).await;
    life.ready(&id).await;
    let file = data.path().join("replicas/rep1/dynamic_config/environment");
    let text = || std::fs::read_to_string(&file).unwrap();
    assert_eq!(text(), r#"{"name":"production"}"#);

    let staging = EnvironmentName::new("staging").unwrap();
    life.runtime.tell(&id, Some(&staging)).await.unwrap();
    assert_eq!(text(), r#"{"name":"staging"}"#);
    assert_eq!(life.replica(&id).unwrap().environment, Some(staging.clone()));

    life.runtime.shutdown(true, Duration::from_secs(5)).await;
    let next = Life::begin(data.path()).await;
    assert_eq!(next.replica(&id).unwrap().environment, Some(staging));

    next.runtime.tell(&id, None).await.unwrap();
    assert_eq!(text(), "");
    assert_eq!(next.replica(&id).unwrap().environment, None);
}

#[tokio::test]
async fn a_model_is_told_by_setup_environment_before_it_loads_and_while_it_runs() {
    let data = folder();
    let config = truss(data.path(), MODEL);
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();
    let id = life.start("rep1", &config).await;
    let port = life.ready(&id).await.port;
    let says = || async {
        let text = ask(port, "POST /v1/models/model:predict", "{}").await.unwrap();
        text.split_once("\r\n\r\n").map_or("", |(_, body)| body).trim().to_owned()
    };
    assert_eq!(says().await, r#""loaded in production, serves production""#);
    life.runtime.tell(&id, Some(&EnvironmentName::new("staging").unwrap())).await.unwrap();
    let told = async {
        while says().await != r#""loaded in production, serves staging""# {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("its code was not told");
}

const MODEL: &str = "\
class Model:
    def setup_environment(self, environment):
        self.name = environment['name']

    def load(self):
        self.loaded_in = self.name

    def predict(self, request):
        return f'loaded in {self.loaded_in}, serves {self.name}'
";
