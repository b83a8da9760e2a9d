//! The model that is deployed: a small server of its own, with nothing to fetch.

use anyhow::Context;
use serde_json::{Value, json};

/// How long the build of a held toy takes, in seconds.
const HELD: u32 = 6;

/// A Truss, as it is pushed.
pub struct Toy {
    pub config: Value,
    pub archive: Vec<u8>,
}

impl Toy {
    pub fn new(version: u32) -> anyhow::Result<Self> {
        Self::of(version, None)
    }

    /// One whose build takes its time, so that something may happen to it.
    pub fn held(version: u32) -> anyhow::Result<Self> {
        Self::of(version, Some(HELD))
    }

    fn of(version: u32, held: Option<u32>) -> anyhow::Result<Self> {
        let folder = Folder::new()?;
        let mut config = json!({
            "model_name": "Toy",
            "python_version": "py311",
            "model_metadata": { "version": version },
            "base_image": { "image": "python:3.11-slim" },
            "docker_server": {
                "start_command": "python toy.py",
                "server_port": 8000,
                "predict_endpoint": "/predict",
                "readiness_endpoint": "/",
                "liveness_endpoint": "/",
            },
            "resources": { "cpu": "100m", "memory": "64Mi" },
        });
        folder.write("toy.py", include_str!("toy.py"))?;
        // What the launcher gives every Truss model: a full disk fails no print.
        folder.write("slipway_output.py", runtime::OUTPUT_MODULE)?;
        if let Some(seconds) = held {
            config["requirements_file"] = "needs.txt".into();
            folder.write("needs.txt", "./slow\n")?;
            folder.write("slow/pyproject.toml", PROJECT)?;
            let backend = include_str!("slow.py").replace("SECONDS", &seconds.to_string());
            folder.write("slow/backend.py", &backend.replace("VERSION", &version.to_string()))?;
        }
        folder.write("config.yaml", &serde_json::to_string_pretty(&config)?)?;
        Ok(Self { archive: folder.pack()?, config })
    }
}

const PROJECT: &str = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n";

/// A folder that goes with its value.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("slipway-toy-{}", crate::random::word::<12>()));
        std::fs::create_dir(&path).with_context(|| format!("{} could not be made", path.display()))?;
        Ok(Self(path))
    }

    fn write(&self, path: &str, text: &str) -> anyhow::Result<()> {
        let path = self.0.join("truss").join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        Ok(std::fs::write(path, text)?)
    }

    fn pack(&self) -> anyhow::Result<Vec<u8>> {
        let target = self.0.join("toy.tar");
        truss::archive::pack(&self.0.join("truss"), &target)?;
        Ok(std::fs::read(target)?)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
