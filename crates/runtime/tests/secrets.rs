//! A real Truss reads its secrets.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::time::Duration;

use domain::{ReplicaId, Runtime, StopReason};
use serde_json::Value;
use support::{Life, ask, folder};

const VALUE: &str = "hf_J9sQ2wXk7Lm4Tn8V";

const CONFIG: &str = "
model_name: Reader
python_version: py311
secrets:
  hf_token: null
";

const MODEL: &str = r#"
import os

class Model:
    def __init__(self, **kwargs):
        self.secrets = kwargs["secrets"]

    def predict(self, request):
        found = {}
        for name in request["names"]:
            try:
                found[name] = self.secrets[name]
            except Exception as error:
                found[name] = type(error).__name__
        found["environ"] = sorted(name for name in os.environ if name.startswith("TRUSS_SECRET_"))
        return found
"#;

fn truss(data: &Path) -> Value {
    let folder = data.join("artifacts/art1");
    std::fs::create_dir_all(folder.join("model")).unwrap();
    std::fs::write(folder.join("config.yaml"), CONFIG).unwrap();
    std::fs::write(folder.join("model/__init__.py"), "").unwrap();
    std::fs::write(folder.join("model/model.py"), MODEL).unwrap();
    truss::Config::from_yaml(CONFIG).unwrap().full()
}

/// What the model finds under these names.
async fn found(life: &Life, id: &ReplicaId) -> Value {
    let port = life.ready(id).await.port;
    let body = r#"{"names": ["hf_token", "other"]}"#;
    let answer = ask(port, "POST /v1/models/model:predict", body).await.unwrap();
    serde_json::from_str(answer.split("\r\n\r\n").nth(1).unwrap()).unwrap_or_else(|_| panic!("{answer}"))
}

fn files_with(folder: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() {
            found.extend(files_with(&path, text));
        } else if kind.is_file() && String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text) {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truss_reads_the_secrets_it_declares_and_no_others() {
    let data = folder();
    let config = truss(data.path());
    let life = Life::begin(data.path()).await;
    life.build(&config).await.unwrap();

    let given = life.start_with("r1", &config, &[("hf_token", VALUE), ("other", "undeclared")]).await;
    let seen = found(&life, &given).await;
    assert_eq!(seen["hf_token"], VALUE);
    assert_eq!(seen["other"], "SecretNotFound");
    assert_eq!(seen["environ"], serde_json::json!(["TRUSS_SECRET_hf_token"]));

    let without = life.start_with("r2", &config, &[]).await;
    assert_eq!(found(&life, &without).await["hf_token"], "SecretNotFound", "it starts all the same");

    for id in [&given, &without] {
        life.runtime.stop(id, Duration::from_secs(60), StopReason::Asked).await;
        life.ended(id).await;
    }
    for part in ["replicas", "logs"] {
        assert_eq!(files_with(&data.path().join(part), VALUE), Vec::<std::path::PathBuf>::new());
    }
}
