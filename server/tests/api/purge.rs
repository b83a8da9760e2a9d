//! What is deleted leaves nothing behind but its usage. The models run as real processes here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::{World, archive_of, client, pushed};

const SERVER: &str = r#"
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass
print("listening soon", flush=True)
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"#;

/// A server of its own, which needs nothing installed.
fn config() -> Value {
    json!({
        "model_name": "Purged",
        "python_version": "py311",
        "docker_server": {
            "start_command": "python server.py",
            "server_port": 8100,
            "predict_endpoint": "/predict",
            "readiness_endpoint": "/",
            "liveness_endpoint": "/",
        },
    })
}

/// Ends what still runs below a data folder, should the test fail.
struct Sweep(PathBuf);

impl Sweep {
    fn processes(&self) -> Vec<i32> {
        let home = format!("HOME={}", self.0.join("replicas").display());
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
                environ.split(|byte| *byte == 0).any(|entry| entry.starts_with(home.as_bytes()))
            })
            .collect()
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        for pid in self.processes().into_iter().filter_map(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Waits, for as long as a build may take on a busy machine.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..6000 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("waited in vain: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_model_stops_and_removes_all_its_parts_and_keeps_its_usage() {
    let world = World::start_here().await;
    let sweep = Sweep(world.data().canonicalize().unwrap());
    let files = [("config.yaml", "model_name: Purged\n"), ("server.py", SERVER)];
    let key = world.upload(archive_of(&files)).await;
    let config = STANDARD.encode(config().to_string());
    let (model, first) = pushed(&world.ask(client::create_model("Purged", &key, &config, "")).await);
    let path = format!("/v1/models/{model}/deployments/{first}");
    let active = async || {
        let seen = world.get(&path).await.ok();
        assert!(!seen["status"].as_str().unwrap().contains("FAILED"), "{seen}");
        (seen["status"] == "ACTIVE").then_some(())
    };
    until("it becomes active", active).await;
    assert!(!sweep.processes().is_empty(), "its process, and those of its sandbox");
    let data = world.data();
    let (artifacts, logs) = (data.join("artifacts"), data.join("logs"));
    assert_eq!((names(&artifacts).len(), names(&logs).len()), (2, 1), "unpacked and packed; one log");
    let disk = world.get("/v1").await.ok()["disk"].clone();
    let row = &disk["deployments"][0];
    for field in ["artifact_bytes", "log_bytes", "environment_bytes"] {
        assert!(row[field].as_u64().unwrap() > 0, "{field} in {disk}");
        assert_eq!(row[field], disk[field], "one deployment is all there is");
    }

    world.rest("DELETE", &format!("/v1/models/{model}"), json!({})).await.ok();
    let gone = async || {
        let folders = [&artifacts, &logs, &data.join("replicas")];
        folders.iter().all(|folder| names(folder).is_empty()).then_some(())
    };
    until("its files are removed", gone).await;
    assert!(sweep.processes().is_empty(), "its process has ended");
    assert_eq!(world.get("/v1").await.ok()["disk"]["deployments"], json!([]));
    let usage = world.get("/v1/billing/usage_summary").await.ok();
    let row = &usage["dedicated_usage"]["breakdown"][0];
    assert_eq!(
        (&row["billable_resource"]["id"], &row["billable_resource"]["is_deleted"]),
        (&json!(first), &json!(true))
    );
    assert_eq!(
        (&row["billable_resource"]["team_id"], &row["billable_resource"]["team_name"]),
        (&json!("default"), &json!("default"))
    );
    assert!(row["minutes"].as_u64().unwrap() >= 1, "{usage}");
    assert_eq!(row["subtotal"], 0.0, "nothing has a price here: {usage}");
    world.stop().await;
}
