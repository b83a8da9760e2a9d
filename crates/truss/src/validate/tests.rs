use tempfile::TempDir;

use super::*;

fn check(yaml: &str) -> Validation {
    validate(&Config::from_yaml(yaml).unwrap())
}

fn error(yaml: &str, parts: &[&str]) {
    let found = check(yaml);
    assert_eq!(found.errors.len(), 1, "{yaml}: {found:?}");
    for part in parts {
        assert!(found.errors[0].contains(part), "{:?} should say {part:?}", found.errors[0]);
    }
}

#[test]
fn a_plain_truss_passes() {
    let found =
        check("python_version: py311\nrequirements: [numpy==1.26.4]\nenvironment_variables: {A_1: x}");
    assert_eq!(found, Validation::default());
    assert_eq!(found.to_details_json(), r#"{"errors":[],"warnings":[]}"#);
}

#[test]
fn errors_name_the_field_the_value_and_the_way_out() {
    error("python_version: py27", &["`python_version: py27`", "py311"]);
    error("requirements: [ok, 'a=1']", &["`requirements[1]: a=1`", "numpy==1.26.4"]);
    error("requirements: [a]\nrequirements_file: r.txt", &["`requirements_file: r.txt`", "keep one"]);
    error("environment_variables: {1A: x}", &["`environment_variables: 1A`", "digits"]);
    error("environment_variables: {'a=b': x}", &["a=b"]);
    error("model_module_dir: ../x", &["`model_module_dir: ../x`", "inside the Truss"]);
    error("data_dir: /data", &["`data_dir: /data`"]);
    error("bundled_packages_dir: a/..", &["`bundled_packages_dir: a/..`"]);
    error("resources: {cpu: two}", &["`resources.cpu: two`", "500m"]);
    error("resources: {memory: 2Q}", &["`resources.memory: 2Q`", "2Gi"]);
    error("resources: {accelerator: 'L4:x'}", &["`resources.accelerator`", "L4"]);
    error("runtime: {predict_concurrency: 0}", &["predict_concurrency: 0"]);
    error("runtime: {transport: {kind: grpc}}", &["grpc", "docker_server"]);
    error("trt_llm: {build: {}}", &["`trt_llm`"]);
    error("external_data: [{url: 'https://x.example/a', local_data_path: ../a}]", &["local_data_path: ../a"]);
}

#[test]
fn a_custom_server_needs_its_command_port_and_endpoints() {
    let found = check("docker_server: {}");
    let fields =
        ["start_command", "server_port", "predict_endpoint", "readiness_endpoint", "liveness_endpoint"];
    for field in fields {
        assert!(
            found.errors.iter().any(|text| text.contains(&format!("`docker_server.{field}`"))),
            "{field}: {found:?}"
        );
    }
    let rest = "predict_endpoint: /p, readiness_endpoint: /r, liveness_endpoint: /l";
    let whole = format!("docker_server: {{start_command: run, server_port: 9000, {rest}}}");
    assert!(check(&whole).is_success());
    assert!(check(&format!("{whole}\nruntime: {{transport: {{kind: grpc}}}}")).is_success());
    error(
        &format!("docker_server: {{start_command: run, server_port: 8080, {rest}}}"),
        &["8080", "another port"],
    );
    error(&format!("docker_server: {{start_command: run, server_port: 70000, {rest}}}"), &["70000"]);
    error(
        &format!("docker_server: {{no_build: true, server_port: 9000, {rest}}}"),
        &["images are not run here"],
    );
}

#[test]
fn settings_for_containers_are_warned_about_or_refused() {
    let yaml =
        "base_image: {image: 'cuda:12'}\nsystem_packages: [ffmpeg, libsm6]\nbuild_commands: [make, ls]";
    let config = Config::from_yaml(yaml).unwrap();
    let found = validate(&config);
    assert!(found.is_success());
    assert_eq!(found.warnings.len(), 3, "{found:?}");
    for part in [
        "`base_image: cuda:12` is ignored",
        "ffmpeg, libsm6 must already be",
        "2 of them, the first is `make`",
    ] {
        assert!(found.warnings.iter().any(|text| text.contains(part)), "{part}: {found:?}");
    }
    let refused = validate_with(&config, DockerOnly::Refuse);
    assert_eq!((refused.errors.len(), refused.warnings.len()), (3, 0));
}

#[test]
fn values_that_would_be_lost_are_warned_about() {
    assert!(check("environment_variables: {PORT: 1}").warnings[0].contains("`environment_variables: PORT`"));
    assert!(check("weights: [{source: x}]").warnings[0].contains("`weights` is ignored"));
}

#[test]
fn files_that_the_configuration_names_must_be_there() {
    let truss = TempDir::new().unwrap();
    let config = Config::from_yaml("requirements_file: r.txt").unwrap();
    let errors = validate_files(&config, truss.path()).errors;
    assert!(errors[0].contains("`model/model.py` is missing") && errors[1].contains("r.txt"), "{errors:?}");
    std::fs::create_dir(truss.path().join("model")).unwrap();
    std::fs::write(truss.path().join("model/model.py"), "").unwrap();
    std::fs::write(truss.path().join("r.txt"), "").unwrap();
    assert!(validate_files(&config, truss.path()).is_success());
}

#[test]
fn a_python_that_is_not_here_is_refused_with_those_that_are() {
    let config = Config::from_yaml("").unwrap();
    let found = ["3.11".to_owned(), "3.12".to_owned()];
    let errors = validate_python(&config, &found).errors;
    for part in ["`python_version: py313`", "3.11, 3.12", "write `python_version: py311`"] {
        assert!(errors[0].contains(part), "{errors:?}");
    }
    let config = Config::from_yaml("python_version: py312").unwrap();
    assert!(validate_python(&config, &found).is_success());
    assert!(validate_python(&config, &[]).errors[0].contains("install it"));
}
