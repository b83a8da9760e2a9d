//! Configurations, patches, requirements and archives that nobody would make on purpose.

use std::fs;
use std::io::{Cursor, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::patch::{self, Op};
use crate::requirements::{InstallPlan, ServerNeeds, is_parsable, package_name};
use crate::yaml::to_yaml;
use crate::{Config, IgnoreRules, Limits, Signature, archive, unpack, validate};

#[global_allocator]
static ALLOCATOR: mangle::Counting = mangle::Counting;

const YAMLS: [&str; 4] = [
    "model_name: Iris\npython_version: py311\nsecrets: {token: null}\nenvironment_variables: {LEVEL: 3, DEBUG: true}\n\
     resources: {cpu: 500m, memory: 2Gi, accelerator: 'L4:2', use_gpu: true}\nrequirements:\n- numpy==1.0\n- scipy>=1\n",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nmodel_metadata: {example_model_input: *c}\nbuild: {<<: {x: 1}}\n",
    "docker_server: {start_command: run, server_port: 9000, predict_endpoint: /p, readiness_endpoint: /r}\n\
     runtime: {predict_concurrency: 8, transport: {kind: http}, health_checks: {startup_threshold_seconds: 30}}\n",
    "external_data:\n- {url: https://x.test/a, local_data_path: data/a, backend: http_public}\nmodel_module_dir: model\n\
     requirements_file: ./requirements.txt\nexternal_package_dirs: [../shared]\nlive_reload: true\n",
];

fn full() -> Value {
    let mut full = Config::from_yaml(YAMLS[0]).unwrap().full();
    full["external_data"] = json!([{"url": "https://x.test/a", "local_data_path": "a"}]);
    full
}

/// Everything that is asked of a configuration once it was read.
fn looked_at(config: &Config) {
    let found = validate(config);
    for sentence in found.errors.iter().chain(&found.warnings) {
        assert!(sentence.contains('`'), "it names no field: {sentence}");
    }
    let _ = (config.python(), config.serves(), found.to_details_json());
}

/// What is written down of it is read back the same.
fn written_and_read(config: &Config) {
    let written = to_yaml(&config.full());
    let again = Config::from_yaml(&written).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_eq!(again.full(), config.full());
}

proptest! {
    #![proptest_config(mangle::config())]

    #[test]
    fn any_yaml_is_a_configuration_or_an_error(text in mangle::mangled_text(&YAMLS)) {
        mangle::bounded(text.len(), 1_000, || match Config::from_yaml(&text) {
            Ok(config) => looked_at(&config),
            Err(error) => assert!(!error.to_string().is_empty()),
        });
    }

    #[test]
    fn any_pushed_configuration_is_read_or_refused(value in mangle::mangled_json(vec![full()])) {
        mangle::bounded(value.to_string().len(), 1_000, || {
            if let Ok(config) = Config::from_json(&value) {
                looked_at(&config);
            }
        });
    }

    #[test]
    fn a_field_of_another_kind_is_refused_by_its_name(at in any::<prop::sample::Index>(), wrong in kinds()) {
        let mut value = full();
        let names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        let name = &names[at.index(names.len())];
        value[name.as_str()] = wrong;
        if let Err(error) = Config::from_json(&value) {
            prop_assert!(error.to_string().contains(name.as_str()), "{name}: {error}");
        }
    }

    #[test]
    fn any_line_of_requirements_is_read(line in mangle::mangled_text(&[
        "numpy==1.26 ; python_version < '3.12'  # pinned",
        "-e ./local[extra]",
        "git+https://x.test/a.git@main#egg=b&subdirectory=c",
        "--extra-index-url https://x.test/simple",
        "Torch [cuda] @ file:///x/torch.whl --hash=sha256:aa",
    ])) {
        mangle::bounded(line.len(), 64, || (package_name(&line), is_parsable(&line)));
    }

    #[test]
    fn any_signature_has_a_hash_or_is_none(text in mangle::mangled_text(&[
        r#"{"content_hashes_by_path": {"a": "00", "b": null}, "config": "x: 1", "requirements_file_requirements": ["a"]}"#,
    ])) {
        if let Ok(signature) = serde_json::from_str::<Signature>(&text) {
            prop_assert_eq!(signature.hash().len(), 64);
        }
    }
}

fn kinds() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![json!(7), json!("x"), json!([1]), json!({"a": 1}), json!(true), json!(-1.5)])
}

fn steps() -> Vec<Value> {
    vec![
        json!({"type": "model_code", "body": {"action": "UPDATE", "path": "model.py", "content": "new", "hot_reload": true}}),
        json!({"type": "package", "action": "ADD", "path": "mine/b.bin", "content_bytes": "AAE="}),
        json!({"type": "python_requirement", "body": {"action": "REMOVE", "requirement": "numpy"}}),
        json!({"type": "environment_variable", "body": {"action": "ADD", "item": {"A": "1"}}}),
        json!({"type": "external_data", "body": {"action": "ADD", "item": {"url": "https://x.test/a", "local_data_path": "a"}}}),
        json!({"type": "config", "body": {"action": "UPDATE", "path": "config.yaml", "config": full()}}),
    ]
}

proptest! {
    #![proptest_config(mangle::dear())]

    #[test]
    fn any_configuration_is_written_as_it_was_read(
        value in mangle::mangled_json(vec![full()]),
        text in mangle::mangled_text(&YAMLS),
    ) {
        for config in [Config::from_json(&value), Config::from_yaml(&text)].into_iter().flatten() {
            written_and_read(&config);
        }
    }

    #[test]
    fn any_patch_changes_the_copy_or_nothing(
        values in prop::collection::vec(mangle::mangled_json(steps()), 1..4),
        path in mangle::mangled_text(&["model.py", "../../base/config.yaml", "/etc/x", "a/./b/../c"]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        fs::create_dir_all(base.join("model")).unwrap();
        fs::write(base.join("config.yaml"), YAMLS[0]).unwrap();
        fs::write(base.join("model/model.py"), "old").unwrap();
        let config = Config::from_yaml(YAMLS[0]).unwrap();
        let size = path.len() + values.iter().map(|value| value.to_string().len()).sum::<usize>();
        let added = json!({"type": "model_code", "action": "ADD", "path": path, "content": "x"});
        mangle::bounded(size, 1_000, || {
            let steps = values.iter().chain([&added]);
            let ops: Vec<Op> = steps.filter_map(|value| Op::read(value).ok()).collect();
            let _ = patch::apply(&base, &folder.path().join("next"), &config, &ops, &Signature::default());
        });
        prop_assert_eq!(fs::read_to_string(base.join("model/model.py")).unwrap(), "old");
        prop_assert_eq!(fs::read_to_string(base.join("config.yaml")).unwrap(), YAMLS[0]);
        let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
        prop_assert!(names.iter().all(|name| name == "base" || name == "next"), "{:?}", names);
    }

    #[test]
    fn any_list_of_what_is_ignored_is_a_list(
        rules in mangle::mangled_text(&["*.pyc\n!keep.pyc\n/data/**\n**/x?[a-z]\\ \n# no\n", "a/**/b/**/c\n[!]]\n"]),
        path in mangle::mangled_text(&["a/b/c.pyc", "data/x"]),
    ) {
        // Each line becomes an expression, which takes its time, and what is special about it comes early.
        let rules: String = rules.chars().take(100).collect();
        let _ = mangle::bounded(rules.len() + path.len(), 5_000, || IgnoreRules::parse(&rules).map(|rules| rules.ignores(&path, false)));
    }

    #[test]
    fn any_requirements_file_makes_a_plan_or_an_error(
        text in mangle::mangled_text(&[
            "numpy==1.0\n-r other.txt\n# x\n./local\n",
            "[project]\nname = \"x\"\ndependencies = [\"numpy>=1\", \"a @ file:///b\"]\n[tool.uv]\n",
        ]),
        name in prop::sample::select(vec!["requirements.txt", "pyproject.toml", "sub/uv.lock"]),
    ) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join(name), &text).unwrap();
        fs::write(folder.path().join("sub/pyproject.toml"), &text).unwrap();
        let config = Config::from_yaml(&format!("python_version: py311\nrequirements_file: {name}\n")).unwrap();
        let needs = ServerNeeds { version: "1", requirements: "uvicorn==1\n", constraints: "" };
        match InstallPlan::of_truss(&config, folder.path(), needs) {
            Ok(plan) => prop_assert_eq!(plan.key.len(), 64),
            Err(error) => prop_assert!(error.to_string().contains("requirements_file"), "{}", error),
        }
    }
}

/// A Truss as it is pushed, plain and zipped.
fn archives() -> Vec<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in
        [("config.yaml", YAMLS[0]), ("model/model.py", "x = 1"), ("packages/deep/er/a.py", "")]
    {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let elsewhere = tempfile::tempdir().unwrap();
    archive::pack(folder.path(), &elsewhere.path().join("a.tar")).unwrap();
    let plain = fs::read(elsewhere.path().join("a.tar")).unwrap();
    let mut zipped = GzEncoder::new(Vec::new(), Compression::fast());
    zipped.write_all(&plain).unwrap();
    vec![plain, zipped.finish().unwrap()]
}

proptest! {
    #![proptest_config(mangle::dear())]

    #[test]
    fn any_archive_is_unpacked_whole_or_leaves_nothing(bytes in mangle::mangled(archives())) {
        let place = tempfile::tempdir().unwrap();
        let limits = Limits { entries: 100, bytes: 1_000_000, path_bytes: 200 };
        let target = place.path().join("truss");
        let result = mangle::bounded(bytes.len(), 8, || unpack(Cursor::new(&bytes), &target, &limits));
        let names: Vec<_> = fs::read_dir(place.path()).unwrap().map(|item| item.unwrap().file_name()).collect();
        match result {
            Ok(_) => prop_assert_eq!(names, ["truss"]),
            Err(error) => {
                prop_assert!(names.is_empty(), "{:?} left behind", names);
                prop_assert!(error.to_string().contains("archive"), "{}", error);
            }
        }
    }
}
