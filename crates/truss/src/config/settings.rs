//! The settings that are used here, typed. Everything else stays in the full configuration.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::ConfigError;
use super::read::Reader;

/// The settings of a Truss that decide how it is built, started and served.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    pub model_name: Option<String>,
    pub description: Option<String>,
    /// As written: `py311`. [`super::Config::python`] gives `3.11`.
    pub python_version: String,
    /// Lines of a pip requirements file.
    pub requirements: Vec<String>,
    /// Relative to the Truss: a pip file, a `pyproject.toml` or a `uv.lock`.
    pub requirements_file: Option<String>,
    pub environment_variables: BTreeMap<String, String>,
    /// The names of the secrets the model may read; their values are never in a configuration.
    pub secrets: Vec<String>,
    pub resources: Resources,
    pub runtime: Runtime,
    pub model_module_dir: String,
    pub model_class_filename: String,
    pub model_class_name: String,
    pub data_dir: String,
    pub bundled_packages_dir: String,
    pub external_data: Vec<ExternalData>,
    pub docker_server: Option<DockerServer>,
    pub base_image: Option<BaseImage>,
    pub system_packages: Vec<String>,
    pub build_commands: Vec<String>,
    pub build: Build,
    /// A sample request, from `model_metadata.example_model_input`.
    pub example_model_input: Option<Value>,
    pub live_reload: bool,
    /// Names of settings with content that only the vendor's own builders understand (`trt_llm`, `weights`, …).
    pub vendor_only: Vec<&'static str>,
}

/// What one replica may use.
#[derive(Clone, Debug, PartialEq)]
pub struct Resources {
    /// Cores as `2` or `500m`.
    pub cpu: String,
    /// Bytes with a unit: `2Gi`, `512Mi`.
    pub memory: String,
    pub accelerator: Option<Accelerator>,
    pub use_gpu: bool,
    pub instance_type: Option<String>,
}

/// A kind of accelerator and how many of it: `L4:2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accelerator {
    pub name: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Runtime {
    /// Predictions that run at once in one replica.
    pub predict_concurrency: u64,
    /// Seconds.
    pub streaming_read_timeout: u64,
    pub enable_debug_logs: bool,
    pub transport: Transport,
    pub health_checks: HealthChecks,
    pub truss_server_version_override: Option<String>,
    pub egress_restricted: bool,
    pub remote_ssh: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Transport {
    Http,
    /// Ping settings in seconds.
    Websocket {
        ping_interval: Option<f64>,
        ping_timeout: Option<f64>,
    },
    Grpc,
    Unknown(String),
}

/// Thresholds in seconds; `None` leaves the choice to the platform.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthChecks {
    pub restart_check_delay_seconds: Option<u64>,
    pub restart_threshold_seconds: Option<u64>,
    pub stop_traffic_threshold_seconds: Option<u64>,
    pub startup_threshold_seconds: Option<u64>,
}

/// A file to fetch into the data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalData {
    pub url: String,
    /// Relative to the data folder.
    pub local_data_path: String,
    pub backend: String,
}

/// The user's own server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerServer {
    pub start_command: Option<String>,
    pub server_port: Option<u64>,
    pub predict_endpoint: Option<String>,
    pub readiness_endpoint: Option<String>,
    pub liveness_endpoint: Option<String>,
    pub run_as_user_id: Option<u64>,
    pub no_build: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseImage {
    pub image: String,
    pub python_executable_path: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    pub model_server: String,
    /// Pushed with `--no-cache`.
    pub no_cache: bool,
    pub uses_secrets: bool,
}

const VENDOR_ONLY: [&str; 6] =
    ["trt_llm", "bis_llm", "model_cache", "weights", "training_checkpoints", "cache_internal"];

impl Settings {
    pub(super) fn read(full: &Map<String, Value>) -> Result<Self, ConfigError> {
        let root = Reader::root(full);
        let mut vendor_only: Vec<_> = VENDOR_ONLY.into_iter().filter(|key| root.is_filled(key)).collect();
        if root.section("bdn")?.is_filled("mounts") {
            vendor_only.push("bdn");
        }
        let example = root.section("model_metadata")?.value("example_model_input");
        Ok(Self {
            model_name: root.text("model_name")?,
            description: root.text("description")?,
            python_version: root.text_or("python_version", "")?,
            requirements: root.texts("requirements")?,
            requirements_file: root.text("requirements_file")?.filter(|path| !path.is_empty()),
            environment_variables: root.pairs("environment_variables")?.into_iter().collect(),
            secrets: root.pairs("secrets")?.into_iter().map(|(name, _)| name).collect(),
            resources: Resources::read(&root.section("resources")?)?,
            runtime: Runtime::read(&root.section("runtime")?)?,
            model_module_dir: root.text_or("model_module_dir", "model")?,
            model_class_filename: root.text_or("model_class_filename", "model.py")?,
            model_class_name: root.text_or("model_class_name", "Model")?,
            data_dir: root.text_or("data_dir", "data")?,
            bundled_packages_dir: root.text_or("bundled_packages_dir", "packages")?,
            external_data: root
                .sections("external_data")?
                .iter()
                .map(ExternalData::read)
                .collect::<Result<_, _>>()?,
            docker_server: root
                .optional_section("docker_server")?
                .map(|r| DockerServer::read(&r))
                .transpose()?,
            base_image: root.optional_section("base_image")?.map(|r| BaseImage::read(&r)).transpose()?,
            system_packages: root.texts("system_packages")?,
            build_commands: root.texts("build_commands")?,
            build: Build::read(&root.section("build")?)?,
            example_model_input: (!example.is_null()).then_some(example),
            live_reload: root.flag("live_reload")?,
            vendor_only,
        })
    }
}

impl Resources {
    fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        let accelerator = reader.text("accelerator")?.map(|text| Accelerator::parse(&text));
        Ok(Self {
            cpu: reader.text_or("cpu", "1")?,
            memory: reader.text_or("memory", "2Gi")?,
            use_gpu: accelerator.is_some(),
            accelerator,
            instance_type: reader.text("instance_type")?,
        })
    }
}

impl Accelerator {
    fn parse(text: &str) -> Self {
        let (name, count) = text.split_once(':').unwrap_or((text, "1"));
        // A count that is no number reads as 0, which validation refuses.
        Self { name: name.trim().to_owned(), count: count.trim().parse().unwrap_or(0) }
    }
}

impl Runtime {
    fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            predict_concurrency: reader.count("predict_concurrency")?.unwrap_or(1),
            streaming_read_timeout: reader.count("streaming_read_timeout")?.unwrap_or(60),
            enable_debug_logs: reader.flag("enable_debug_logs")?,
            transport: Transport::read(&reader.section("transport")?)?,
            health_checks: HealthChecks::read(&reader.section("health_checks")?)?,
            truss_server_version_override: reader.text("truss_server_version_override")?,
            egress_restricted: reader.optional_section("egress_restrictions")?.is_some(),
            remote_ssh: reader.section("remote_ssh")?.flag("enabled")?,
        })
    }
}

impl Transport {
    fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        Ok(match reader.text_or("kind", "http")?.as_str() {
            "http" => Self::Http,
            "websocket" => Self::Websocket {
                ping_interval: reader.number("ping_interval_seconds")?,
                ping_timeout: reader.number("ping_timeout_seconds")?,
            },
            "grpc" => Self::Grpc,
            other => Self::Unknown(other.to_owned()),
        })
    }
}

impl HealthChecks {
    fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            restart_check_delay_seconds: reader.count("restart_check_delay_seconds")?,
            restart_threshold_seconds: reader.count("restart_threshold_seconds")?,
            stop_traffic_threshold_seconds: reader.count("stop_traffic_threshold_seconds")?,
            startup_threshold_seconds: reader.count("startup_threshold_seconds")?,
        })
    }
}

impl ExternalData {
    fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            url: reader.text_or("url", "")?,
            local_data_path: reader.text_or("local_data_path", "")?,
            backend: reader.text_or("backend", "http_public")?,
        })
    }
}

impl DockerServer {
    fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            start_command: reader.text("start_command")?,
            server_port: reader.count("server_port")?,
            predict_endpoint: reader.text("predict_endpoint")?,
            readiness_endpoint: reader.text("readiness_endpoint")?,
            liveness_endpoint: reader.text("liveness_endpoint")?,
            run_as_user_id: reader.count("run_as_user_id")?,
            no_build: reader.flag("no_build")?,
        })
    }
}

impl BaseImage {
    fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            image: reader.text_or("image", "")?,
            python_executable_path: reader.text_or("python_executable_path", "")?,
        })
    }
}

impl Build {
    fn read(reader: &Reader<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            model_server: reader.text_or("model_server", "TrussServer")?,
            no_cache: reader.flag("no_cache")?,
            uses_secrets: reader.is_filled("secret_to_path_mapping"),
        })
    }
}
