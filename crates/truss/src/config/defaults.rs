//! The defaults of the format, filled into what was given.

use serde_json::{Map, Value, json};

/// Fills every key that is missing, and writes the given ones the way the Truss server expects to read them.
pub(super) fn fill(mut given: Map<String, Value>) -> Map<String, Value> {
    // The old name of a setting that the server only knows by its new one.
    if let Some(old) = given.remove("hf_cache") {
        given.entry("model_cache").or_insert(old);
    }
    legacy_transport(&mut given);
    let mut full = Value::Object(given);
    merge(&mut full, config());
    let Value::Object(mut full) = full else { return Map::new() };
    for (key, item) in [("docker_server", docker_server()), ("base_image", base_image())] {
        if let Some(value @ Value::Object(_)) = full.get_mut(key) {
            merge(value, item);
        }
    }
    if let Some(Value::Array(items)) = full.get_mut("external_data") {
        items.iter_mut().filter(|item| item.is_object()).for_each(|item| merge(item, external_data_item()));
    }
    environment_text(&mut full);
    resources(&mut full);
    websocket(&mut full);
    full
}

/// Adds what `defaults` has and `value` lacks. An explicit null where the default is a mapping, list or scalar counts as
/// missing: nothing that reads a configuration expects a null there.
fn merge(value: &mut Value, defaults: Value) {
    match (value, defaults) {
        (Value::Object(map), Value::Object(defaults)) => {
            for (key, default) in defaults {
                match map.get_mut(&key) {
                    Some(present) => merge(present, default),
                    None => drop(map.insert(key, default)),
                }
            }
        }
        (value @ Value::Null, default) => *value = default,
        _ => {}
    }
}

/// `is_websocket_endpoint: true` is the old way to write `transport: {kind: websocket}`.
fn legacy_transport(given: &mut Map<String, Value>) {
    if let Some(Value::Object(runtime)) = given.get_mut("runtime")
        && runtime.get("is_websocket_endpoint") == Some(&Value::Bool(true))
        && runtime.get("transport").and_then(|transport| transport.get("kind"))
            != Some(&Value::from("websocket"))
    {
        runtime.insert("transport".into(), json!({"kind": "websocket"}));
    }
}

fn websocket(full: &mut Map<String, Value>) {
    let Some(Value::Object(runtime)) = full.get_mut("runtime") else { return };
    let mut websocket = false;
    if let Some(transport @ Value::Object(_)) = runtime.get_mut("transport") {
        websocket = transport["kind"] == "websocket";
        if websocket {
            merge(transport, json!({"ping_interval_seconds": null, "ping_timeout_seconds": null}));
        }
    }
    runtime.insert("is_websocket_endpoint".into(), Value::Bool(websocket));
}

/// Environment variables are text: numbers and switches in YAML become what a shell would show.
fn environment_text(full: &mut Map<String, Value>) {
    if let Some(Value::Object(variables)) = full.get_mut("environment_variables") {
        variables.values_mut().for_each(text_of_scalar);
    }
}

fn text_of_scalar(value: &mut Value) {
    if matches!(value, Value::Bool(_) | Value::Number(_)) {
        *value = Value::String(value.to_string());
    }
}

fn resources(full: &mut Map<String, Value>) {
    let Some(Value::Object(resources)) = full.get_mut("resources") else { return };
    for key in ["cpu", "memory"] {
        resources.get_mut(key).into_iter().for_each(text_of_scalar);
    }
    if let Some(Value::Object(accelerator)) = resources.get("accelerator") {
        let name = accelerator.get("accelerator").and_then(Value::as_str);
        let count = accelerator.get("count").and_then(Value::as_u64).unwrap_or(1);
        let text = name.filter(|_| count > 0).map(|name| match count {
            1 => name.to_owned(),
            count => format!("{name}:{count}"),
        });
        resources.insert("accelerator".into(), text.map_or(Value::Null, Value::String));
    }
    let uses_gpu = resources.get("accelerator").is_some_and(Value::is_string);
    resources.insert("use_gpu".into(), Value::Bool(uses_gpu));
}

fn docker_server() -> Value {
    json!({"start_command": null, "run_as_user_id": null, "no_build": null})
}

fn base_image() -> Value {
    json!({"image": "", "python_executable_path": "", "docker_auth": null})
}

fn external_data_item() -> Value {
    json!({"backend": "http_public", "name": null})
}

fn config() -> Value {
    json!({
        "model_name": null,
        "model_metadata": {},
        "description": null,
        "examples_filename": "examples.yaml",
        "data_dir": "data",
        "external_data": null,
        "external_package_dirs": [],
        "python_version": "py313",
        "base_image": null,
        "requirements_file": null,
        "requirements": [],
        "system_packages": [],
        "environment_variables": {},
        "secrets": {},
        "resources": {"cpu": "1", "memory": "2Gi", "accelerator": null, "use_gpu": false},
        "runtime": {
            "predict_concurrency": 1,
            "streaming_read_timeout": 60,
            "enable_tracing_data": false,
            "enable_debug_logs": false,
            "transport": {"kind": "http"},
            "is_websocket_endpoint": false,
            "health_checks": {
                "restart_check_delay_seconds": null,
                "restart_threshold_seconds": null,
                "stop_traffic_threshold_seconds": null,
                "startup_threshold_seconds": null,
            },
            "oidc": {"enabled": null},
            "remote_ssh": {"enabled": false},
            "egress_restrictions": null,
            "truss_server_version_override": null,
        },
        "build": {"model_server": "TrussServer", "arguments": {}, "secret_to_path_mapping": {}, "no_cache": false},
        "build_commands": [],
        "docker_server": null,
        "model_cache": [],
        "weights": [],
        "bdn": {"mounts": [], "access": [], "hotload": {"enabled": false}},
        "trt_llm": null,
        "training_checkpoints": null,
        "bis_llm": null,
        "input_type": "Any",
        "model_framework": "custom",
        "model_type": "Model",
        "model_module_dir": "model",
        "model_class_filename": "model.py",
        "model_class_name": "Model",
        "bundled_packages_dir": "packages",
        "use_local_src": false,
        "cache_internal": [],
        "live_reload": false,
        "apply_library_patches": true,
        "spec_version": "2.0",
    })
}
