use proptest::prelude::*;
use serde_json::json;

use super::*;

#[test]
fn every_default_is_filled_in_as_the_package_does() {
    let cases: Value = serde_json::from_str(include_str!("../../fixtures/configs.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let config = Config::from_yaml(case["yaml"].as_str().unwrap()).unwrap();
        assert_eq!(config.full(), case["full"], "{}", case["name"]);
        assert_eq!(Config::from_json(&case["full"]).unwrap(), config, "{} again", case["name"]);
    }
}

#[test]
fn what_a_short_file_says_is_read() {
    let config = Config::from_yaml(
        "model_name: Iris\npython_version: py311\nsecrets: {token: null}\nenvironment_variables: {LEVEL: 3, DEBUG: true}\n\
         resources: {cpu: 2, accelerator: 'L4:2'}\nmodel_metadata: {example_model_input: {x: 1}}\nmine: {kept: [1]}\n",
    )
    .unwrap();
    assert_eq!(config.model_name.as_deref(), Some("Iris"));
    assert_eq!(config.python().as_deref(), Some("3.11"));
    assert_eq!(config.secrets, ["token"]);
    assert_eq!(config.environment_variables["LEVEL"], "3");
    assert_eq!(config.environment_variables["DEBUG"], "true");
    assert_eq!(config.resources.cpu, "2");
    assert_eq!(config.resources.accelerator, Some(Accelerator { name: "L4".into(), count: 2 }));
    assert_eq!(config.example_model_input, Some(json!({"x": 1})));
    assert_eq!(config.full()["mine"], json!({"kept": [1]}), "unknown keys are kept");
    assert_eq!(config.serves(), Serves::TrussServer);
}

#[test]
fn a_custom_server_is_known_by_its_settings() {
    let config =
        Config::from_yaml("docker_server: {start_command: run, server_port: 9000, predict_endpoint: /p}")
            .unwrap();
    let Serves::Custom(server) = config.serves() else { panic!("{config:?}") };
    assert_eq!(server.start_command.as_deref(), Some("run"));
    assert_eq!((server.server_port, server.readiness_endpoint.as_deref()), (Some(9000), None));
}

#[test]
fn nulls_count_as_missing() {
    let config =
        Config::from_json(&json!({"requirements": null, "resources": null, "runtime": {"transport": null}}))
            .unwrap();
    assert!(config.requirements.is_empty());
    assert_eq!((config.resources.memory.as_str(), &config.runtime.transport), ("2Gi", &Transport::Http));
}

#[test]
fn a_wrong_type_is_an_error_that_names_the_field() {
    let message = |yaml: &str| Config::from_yaml(yaml).unwrap_err().to_string();
    assert!(
        message("resources: 4")
            .contains("`resources` in the Truss configuration must be a mapping, and this is `4`")
    );
    assert!(
        message("requirements: [a, {b: c}]").contains("`requirements[1]`"),
        "{}",
        message("requirements: [a, {b: c}]")
    );
    assert!(message("runtime: {predict_concurrency: -1}").contains("`runtime.predict_concurrency`"));
    assert!(message("- a").contains("a list"));
    assert!(message("a: [").contains("YAML"));
}

#[test]
fn the_server_reads_the_fixed_folders() {
    let config = Config::from_yaml("model_module_dir: src\ndata_dir: weights").unwrap();
    let server = config.for_server();
    assert_eq!((&server["model_module_dir"], &server["data_dir"]), (&json!("model"), &json!("data")));
    assert_eq!(config.full()["model_module_dir"], "src");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "resources",
        "runtime",
        "transport",
        "kind",
        "docker_server",
        "server_port",
        "accelerator",
        "count",
        "cpu",
        "external_data",
        "url",
        "requirements",
        "requirements_file",
        "environment_variables",
        "secrets",
        "base_image",
        "model_metadata",
        "is_websocket_endpoint",
        "hf_cache",
        "python_version",
        "model_module_dir",
        "data_dir",
        "build",
    ];
    prop_oneof![prop::sample::select(known.to_vec()).prop_map(str::to_owned), ".{0,6}"]
}

proptest! {
    #[test]
    fn any_value_is_read_or_refused_and_reading_again_changes_nothing(value in value()) {
        if let Ok(config) = Config::from_json(&value) {
            prop_assert_eq!(&Config::from_json(&config.full()).unwrap(), &config);
            let yaml = crate::yaml::to_yaml(&config.full());
            prop_assert_eq!(&Config::from_yaml(&yaml).unwrap(), &config);
            crate::validate(&config);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in "(.|\n){0,60}") {
        let _ = Config::from_yaml(&text);
    }
}
