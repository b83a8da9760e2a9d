//! The checks, field by field.

use super::Validation;
use crate::config::{Config, DockerServer, PYTHON_VERSIONS, Transport};
use crate::layout::inside;
use crate::requirements::is_parsable;

/// Set for each replica; a value in the configuration would be lost.
const RESERVED_VARIABLES: [&str; 4] = ["PORT", "HOSTNAME", "HOME", "INFERENCE_SERVER_PORT"];

pub(super) fn python(config: &Config, found: &mut Validation) {
    let version = &config.python_version;
    if config.python().is_none() {
        found.error(format!(
            "`python_version: {version}` is not one of {}; write for example `python_version: py311`",
            PYTHON_VERSIONS.join(", ")
        ));
    }
}

pub(super) fn requirements(config: &Config, found: &mut Validation) {
    for (index, line) in config.requirements.iter().enumerate().filter(|(_, line)| !is_parsable(line)) {
        found.error(format!(
            "`requirements[{index}]: {line}` is no requirement that pip can read; write it like `numpy==1.26.4`"
        ));
    }
    if let Some(file) = &config.requirements_file {
        if !config.requirements.is_empty() {
            found.error(format!(
                "both `requirements` and `requirements_file: {file}` are set; keep one of them"
            ));
        }
        check_inside("requirements_file", file, found);
    }
}

pub(super) fn environment(config: &Config, found: &mut Validation) {
    for (name, value) in &config.environment_variables {
        let good = name
            .chars()
            .enumerate()
            .all(|(at, c)| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit()));
        if name.is_empty() || !good {
            found.error(format!(
                "`environment_variables: {name}` is no name of a variable; use letters, digits and `_`, not starting with a digit"
            ));
        } else if value.contains('\0') {
            found.error(format!("`environment_variables: {name}` holds a NUL character; remove it"));
        } else if RESERVED_VARIABLES.contains(&name.as_str()) {
            found.warning(format!(
                "`environment_variables: {name}` is set for each replica, so its value `{value}` is not used; remove it or rename it"
            ));
        }
    }
    for name in config.secrets.iter().filter(|name| !is_secret_name(name)) {
        found.error(format!(
            "`secrets: {name}` is no name of a secret; use letters, digits, `-`, `_` and `.`"
        ));
    }
}

fn is_secret_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && name != "."
        && name != ".."
}

pub(super) fn paths(config: &Config, found: &mut Validation) {
    check_inside("model_module_dir", &config.model_module_dir, found);
    check_inside("model_class_filename", &config.model_class_filename, found);
    check_inside("data_dir", &config.data_dir, found);
    check_inside("bundled_packages_dir", &config.bundled_packages_dir, found);
    for item in &config.external_data {
        check_inside("external_data.local_data_path", &item.local_data_path, found);
        if !item.url.starts_with("https://") && !item.url.starts_with("http://") {
            found.error(format!("`external_data.url: {}` must start with https:// or http://", item.url));
        }
        if item.backend != "http_public" {
            found.error(format!(
                "`external_data.backend: {}` is not known; only `http_public` is, a plain download",
                item.backend
            ));
        }
    }
}

fn check_inside(field: &'static str, value: &str, found: &mut Validation) {
    if let Err(error) = inside(field, value) {
        found.error(error.to_string());
    }
}

pub(super) fn custom_server(config: &Config, found: &mut Validation) {
    let Some(server) = &config.docker_server else { return };
    let DockerServer { start_command, server_port, .. } = server;
    if start_command.as_deref().is_none_or(|command| command.trim().is_empty()) {
        found.error(match server.no_build {
            true => "`docker_server.no_build: true` starts an image as it is, and images are not run here; write the \
                     server's `docker_server.start_command`"
                .to_owned(),
            false => "`docker_server.start_command` is missing; write the command that starts the server".to_owned(),
        });
    }
    match server_port {
        None => found.error("`docker_server.server_port` is missing; write the port the server listens on".to_owned()),
        Some(8080) => found.error(
            "`docker_server.server_port: 8080` is reserved where a Truss runs in a container; use another port".to_owned(),
        ),
        Some(port) if *port == 0 || *port > 65_535 => {
            found.error(format!("`docker_server.server_port: {port}` is no port; use 1 to 65535"));
        }
        Some(_) => {}
    }
    for (field, endpoint) in [
        ("predict_endpoint", &server.predict_endpoint),
        ("readiness_endpoint", &server.readiness_endpoint),
        ("liveness_endpoint", &server.liveness_endpoint),
    ] {
        match endpoint {
            None => {
                found.error(format!("`docker_server.{field}` is missing; write a path such as `/health`"))
            }
            Some(path)
                if !path.starts_with('/') || path.contains(|c: char| c.is_whitespace() || c.is_control()) =>
            {
                found.error(format!(
                    "`docker_server.{field}: {path}` is no path; start it with `/`, without spaces"
                ));
            }
            Some(_) => {}
        }
    }
    if let Some(id @ (0 | 60_000)) = server.run_as_user_id {
        found.error(format!(
            "`docker_server.run_as_user_id: {id}` is reserved; remove it or use another number"
        ));
    }
}

pub(super) fn resources(config: &Config, found: &mut Validation) {
    let resources = &config.resources;
    if resources.milli_cpu().is_none() {
        found.error(format!("`resources.cpu: {}` is no number of cores; write `2` or `500m`", resources.cpu));
    }
    if resources.memory_bytes().is_none() {
        found.error(format!(
            "`resources.memory: {}` is no amount of memory; write `2Gi` or `512Mi`",
            resources.memory
        ));
    }
    if let Some(accelerator) = resources.accelerator.as_ref().filter(|a| a.count == 0 || a.name.is_empty()) {
        found.error(format!(
            "`resources.accelerator` names `{}` with a count that is no number above 0; write `L4` or `L4:2`",
            accelerator.name
        ));
    }
}

pub(super) fn runtime(config: &Config, found: &mut Validation) {
    let runtime = &config.runtime;
    if runtime.predict_concurrency == 0 {
        found.error("`runtime.predict_concurrency: 0` lets no request run; use 1 or more".to_owned());
    }
    match &runtime.transport {
        Transport::Http | Transport::Websocket { .. } => {}
        Transport::Grpc if config.docker_server.is_some() => {}
        Transport::Grpc => found.error(
            "`runtime.transport.kind: grpc` needs a server of your own: a Model class answers HTTP; write `docker_server`, or remove the setting".to_owned(),
        ),
        Transport::Unknown(kind) => found.error(format!(
            "`runtime.transport.kind: {kind}` is not known; use `http`, `websocket` or `grpc`"
        )),
    }
    if let Some(version) = &runtime.truss_server_version_override {
        found.warning(format!(
            "`runtime.truss_server_version_override: {version}` is ignored: every model runs the one server version installed here"
        ));
    }
    if runtime.egress_restricted {
        found.warning(
            "`runtime.egress_restrictions` is ignored: the model can reach whatever this machine can reach"
                .to_owned(),
        );
    }
    if runtime.remote_ssh {
        found.warning("`runtime.remote_ssh` is ignored: sign in to this machine instead".to_owned());
    }
}

/// Settings whose work is done by the vendor's own builders.
pub(super) fn vendor_only(config: &Config, found: &mut Validation) {
    for key in &config.vendor_only {
        match *key {
            "trt_llm" | "bis_llm" => found.error(format!(
                "`{key}` is built and served by a vendor's image, which can't run here; remove it and serve the model from a Model class or `docker_server`"
            )),
            _ => found.warning(format!(
                "`{key}` is ignored: nothing is downloaded ahead of the start, so the model must fetch its weights itself in load()"
            )),
        }
    }
    if config.build.model_server != "TrussServer" && !config.vendor_only.contains(&"trt_llm") {
        found.error(format!(
            "`build.model_server: {}` is built by a vendor's image, which can't run here; use `TrussServer`",
            config.build.model_server
        ));
    }
}

/// What only an image could honour, and what ignoring it means.
pub(super) fn docker_only(config: &Config) -> Vec<String> {
    let mut ignored = Vec::new();
    if let Some(image) = config.base_image.as_ref().filter(|base| !base.image.is_empty()) {
        ignored.push(format!(
            "`base_image: {}` is ignored: no container is used, so what the image would bring must be installed on this machine or be in `requirements`",
            image.image
        ));
    }
    if !config.system_packages.is_empty() {
        ignored.push(format!(
            "`system_packages` are not installed: {} must already be on this machine",
            config.system_packages.join(", ")
        ));
    }
    if let Some(first) = config.build_commands.first() {
        ignored.push(format!(
            "`build_commands` are not run ({} of them, the first is `{first}`): run them on this machine yourself, or do their work in load()",
            config.build_commands.len()
        ));
    }
    if let Some(server) = &config.docker_server {
        if server.no_build && server.start_command.is_some() {
            ignored.push(
                "`docker_server.no_build` is ignored: no image is used, the start command runs on this machine".to_owned(),
            );
        }
        if let Some(id) = server.run_as_user_id {
            ignored.push(format!(
                "`docker_server.run_as_user_id: {id}` is ignored: the server runs as the user who runs this control plane"
            ));
        }
    }
    if config.build.uses_secrets {
        ignored.push("`build.secret_to_path_mapping` is ignored: no image is built; declare the secrets under `secrets`".to_owned());
    }
    ignored
}
