//! Swaps the code of a running replica, without a new start.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::{ArtifactId, LogLevel, LogSource, ObservedReplica, Wake};
use truss::Config;
use truss::layout::{APP, MODEL};

use crate::files::Files;
use crate::logs::Logs;
use crate::manifest::Manifest;
use crate::owner::give_like;
use crate::parse::Parsed;
use crate::probe::post;
use crate::registry::Registry;

/// How long the server may take to import the code.
const LIMIT: Duration = Duration::from_secs(60);

pub(crate) struct Reload {
    pub files: Files,
    pub registry: Registry,
    pub logs: Arc<Logs>,
    pub wake: Arc<dyn Wake>,
    /// The replica as it was when it was told to.
    pub seen: ObservedReplica,
    pub artifact: ArtifactId,
}

impl Reload {
    /// Puts the code into the replica's folder and lets its server import it. If that fails the former code lies there
    /// again and goes on serving.
    pub async fn run(self) {
        let id = self.seen.id.clone();
        let done = self.swap().await;
        let (level, text) = match &done {
            Ok(()) => (LogLevel::Info, format!("replica {id} runs the changed code, without a new start")),
            Err(reason) => (LogLevel::Error, format!("replica {id} keeps its former code: {reason}")),
        };
        self.logs.append(&self.seen.deployment, [Parsed::plain(LogSource::Platform, Some(level), &text)]);
        self.registry.change(&id, |entry| match done {
            Ok(()) => entry.seen.artifact = Some(self.artifact.clone()),
            Err(reason) => entry.seen.refused = Some((self.artifact.clone(), reason)),
        });
        self.wake.wake(&self.seen.model);
    }

    async fn swap(&self) -> Result<(), String> {
        let folder = self.files.replica(&self.seen.id);
        let (truss, target) = (self.files.artifact(&self.artifact), folder.clone());
        blocking(move || put(&truss, &target)).await?;
        let answer = post(self.seen.port, "/hot-reload", LIMIT).await;
        let refused = match answer {
            Ok((200..=299, _)) => None,
            Ok((_, body)) => Some(reason(&body)),
            Err(error) => Some(format!("its server could not be told: {error}")),
        };
        if let Some(reason) = refused {
            blocking(move || take_back(&folder)).await?;
            return Err(reason);
        }
        let artifact = self.artifact.clone();
        blocking(move || {
            remove(&folder.join(FORMER))?;
            let mut manifest = Manifest::read(&folder)?;
            manifest.artifact = Some(artifact);
            manifest.write(&folder)
        })
        .await
    }
}

/// Where the former code lies until the new one runs, and the new one before it is put in place. Not beside it, where the
/// model could have put something else under these names.
const FORMER: &str = ".model.former";
const COMING: &str = ".model.coming";

fn put(truss: &Path, folder: &Path) -> io::Result<()> {
    let app = folder.join(APP);
    let text = std::fs::read_to_string(truss.join("config.yaml"))?;
    let config = Config::from_yaml(&text).map_err(io::Error::other)?;
    let coming = folder.join(COMING);
    remove(&coming)?;
    truss::layout::copy_model(&config, truss, &coming).map_err(io::Error::other)?;
    give_like(&coming, &app)?;
    let former = folder.join(FORMER);
    // What a former try left says what really ran.
    if !former.exists() {
        std::fs::rename(app.join(MODEL), &former)?;
    }
    remove(&app.join(MODEL))?;
    std::fs::rename(coming, app.join(MODEL))
}

fn take_back(folder: &Path) -> io::Result<()> {
    let model = folder.join(APP).join(MODEL);
    remove(&model)?;
    std::fs::rename(folder.join(FORMER), model)
}

fn remove(folder: &PathBuf) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

async fn blocking(work: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), String> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
    done.map_err(|error| format!("the code could not be put into the replica's folder: {error}"))
}

/// The sentence in `{"error": …}`, or the text as it is.
fn reason(body: &str) -> String {
    let json: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let error = json.as_ref().and_then(|json| json.get("error")).and_then(serde_json::Value::as_str);
    let text = error.unwrap_or(body).trim();
    match text.is_empty() {
        true => "its server refused the code and did not say why".into(),
        false => text.chars().take(1000).collect(),
    }
}
