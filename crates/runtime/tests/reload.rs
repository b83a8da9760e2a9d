//! The code of a running Truss server is swapped, and comes back where it can't be.

#![allow(clippy::unwrap_used)]

mod support;

use domain::{ArtifactId, Runtime};
use support::{Life, ask, folder};

fn truss(data: &std::path::Path, artifact: &str, model: &str) {
    let folder = data.join("artifacts").join(artifact);
    std::fs::create_dir_all(folder.join("model")).unwrap();
    std::fs::write(folder.join("config.yaml"), "python_version: py311\n").unwrap();
    std::fs::write(folder.join("model/__init__.py"), "").unwrap();
    std::fs::write(folder.join("model/model.py"), model).unwrap();
}

fn says(word: &str) -> String {
    format!(
        "class Model:\n    def load(self):\n        self.loads = getattr(self, 'loads', 0) + 1\n\n    def predict(self, request):\n        return {{'word': '{word}', 'loads': self.loads}}\n"
    )
}

#[tokio::test]
async fn a_class_is_swapped_without_a_new_start_and_a_broken_one_is_not() {
    let data = folder();
    // Of the same length, so that only the content tells them apart.
    truss(data.path(), "art1", &says("one"));
    truss(data.path(), "art2", &says("two"));
    truss(data.path(), "art3", "class Model:\n    def predict(self, request:\n");
    let life = Life::begin(data.path()).await;
    let config = truss::Config::from_yaml("python_version: py311\n").unwrap().full();
    life.build(&config).await.unwrap();
    let id = life.start("rep1", &config).await;
    let before = life.ready(&id).await;
    let answer = || async {
        let text = ask(before.port, "POST /v1/models/model:predict", "{}").await.unwrap();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        serde_json::from_str::<serde_json::Value>(body).unwrap_or_else(|_| panic!("{text}"))
    };
    assert_eq!(answer().await["word"], "one");

    let art2 = ArtifactId::new("art2");
    life.runtime.reload(&id, &art2).await;
    life.until(&id, |_| life.replica(&id).is_some_and(|seen| seen.artifact.as_ref() == Some(&art2))).await;
    assert_eq!(answer().await, serde_json::json!({ "word": "two", "loads": 1 }));
    assert_eq!(life.replica(&id).unwrap().pid, before.pid);

    let art3 = ArtifactId::new("art3");
    life.runtime.reload(&id, &art3).await;
    life.until(&id, |_| life.replica(&id).is_some_and(|seen| seen.refused.is_some())).await;
    let (refused, reason) = life.replica(&id).unwrap().refused.unwrap();
    assert_eq!(refused, art3);
    assert!(reason.contains("SyntaxError"), "{reason}");
    assert_eq!(answer().await["word"], "two", "the former code serves on");
    assert_eq!(life.replica(&id).unwrap().artifact, Some(art2));
    let code = std::fs::read_to_string(data.path().join("replicas/rep1/app/model/model.py")).unwrap();
    assert_eq!(code, says("two"), "a crash of the server would find the code that runs");
}
