use std::fs;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Op, PatchError, Patched, apply};
use crate::config::Config;
use crate::hash::Signature;

const CONFIG: &str = "model_name: m\npython_version: py311\nrequirements:\n- numpy==1.0\n";

struct Truss {
    folder: tempfile::TempDir,
    config: Config,
}

impl Truss {
    fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().join("base");
        for (path, text) in [
            ("config.yaml", config),
            ("model/model.py", "old"),
            ("model/helper/__init__.py", ""),
            ("packages/mine/a.py", "a"),
            ("requirements.txt", "# pinned\nnumpy==1.0\nscipy\n"),
        ] {
            let path = base.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self { folder, config: Config::from_yaml(config).unwrap() }
    }

    fn apply(&self, ops: &[Value]) -> Result<Patched, PatchError> {
        let ops: Vec<Op> = ops.iter().map(Op::read).collect::<Result<_, _>>()?;
        let (base, next) = (self.folder.path().join("base"), self.folder.path().join("next"));
        apply(&base, &next, &self.config, &ops, &Signature::default())
    }

    fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.folder.path().join(path)).ok()
    }
}

fn code(action: &str, path: &str, content: &str) -> Value {
    json!({"type": "model_code", "body": {"action": action, "path": path, "content": content}})
}

#[test]
fn files_change_in_the_copy_and_not_in_the_original() {
    let truss = Truss::new(CONFIG);
    let patched = truss
        .apply(&[
            code("UPDATE", "model.py", "new"),
            code("ADD", "deep/er/x.py", "x"),
            code("REMOVE", "helper", ""),
            json!({"type": "package", "action": "ADD", "path": "mine/b.bin", "content_bytes": "AAE="}),
        ])
        .unwrap();
    assert!(!patched.hot);
    assert_eq!(truss.read("next/model/model.py").as_deref(), Some("new"));
    assert_eq!(truss.read("base/model/model.py").as_deref(), Some("old"));
    assert_eq!(truss.read("next/model/deep/er/x.py").as_deref(), Some("x"));
    assert_eq!(truss.read("next/model/helper/__init__.py"), None);
    assert_eq!(fs::read(truss.folder.path().join("next/packages/mine/b.bin")).unwrap(), [0, 1]);
    assert_eq!(truss.read("next/packages/mine/a.py").as_deref(), Some("a"));
}

#[test]
fn only_model_code_that_asks_for_it_is_swapped_in_place() {
    let truss = Truss::new(CONFIG);
    let hot = json!({"type": "model_code", "body": {"action": "UPDATE", "path": "model.py", "content": "n", "hot_reload": true}});
    assert!(truss.apply(std::slice::from_ref(&hot)).unwrap().hot);
    let variable = json!({"type": "environment_variable", "body": {"action": "ADD", "item": {"A": "1"}}});
    assert!(!Truss::new(CONFIG).apply(&[hot, variable]).unwrap().hot);
}

#[test]
fn configuration_variables_and_requirements_follow() {
    let truss = Truss::new(CONFIG);
    let patched = truss
        .apply(&[
            json!({"type": "environment_variable", "action": "UPDATE", "name": "LEVEL", "value": "3"}),
            json!({"type": "python_requirement", "body": {"action": "UPDATE", "requirement": "numpy==2.0"}}),
            json!({"type": "python_requirement", "body": {"action": "ADD", "requirement": "requests"}}),
        ])
        .unwrap();
    assert_eq!(patched.config.requirements, ["numpy==2.0", "requests"]);
    assert_eq!(patched.config.environment_variables.get("LEVEL").map(String::as_str), Some("3"));
    assert_eq!(Config::from_yaml(&patched.raw_config).unwrap().full(), patched.config.full());
    assert_eq!(truss.read("next/config.yaml"), Some(patched.raw_config));
}

#[test]
fn external_data_is_added_replaced_and_removed_by_where_it_lies() {
    let config = "model_name: m
python_version: py311
external_data:
- {url: https://a.example/one, local_data_path: one.bin}
- {url: https://a.example/two, local_data_path: two.bin}
";
    let step = |action: &str, url: &str, place: &str| {
        let item = json!({"url": url, "local_data_path": place, "backend": "http_public"});
        json!({"type": "external_data", "body": {"action": action, "item": item}})
    };
    let patched = Truss::new(config)
        .apply(&[
            step("REMOVE", "https://a.example/one", "one.bin"),
            step("UPDATE", "https://b.example/two", "two.bin"),
            step("ADD", "https://b.example/three", "deep/three.bin"),
        ])
        .unwrap();
    let items = patched.config.external_data.iter();
    let items: Vec<_> = items.map(|item| (item.url.as_str(), item.local_data_path.as_str())).collect();
    assert_eq!(items, [("https://b.example/two", "two.bin"), ("https://b.example/three", "deep/three.bin")]);
    assert_eq!(Config::from_yaml(&patched.raw_config).unwrap().external_data, patched.config.external_data);
    assert!(!patched.hot);
}

#[test]
fn a_requirements_file_is_edited_line_by_line() {
    let truss = Truss::new("model_name: m\npython_version: py311\nrequirements_file: requirements.txt\n");
    truss
        .apply(&[
            json!({"type": "python_requirement", "body": {"action": "REMOVE", "requirement": "scipy"}}),
            json!({"type": "python_requirement", "body": {"action": "UPDATE", "requirement": "NumPy>=2"}}),
        ])
        .unwrap();
    assert_eq!(truss.read("next/requirements.txt").as_deref(), Some("# pinned\nNumPy>=2\n"));
    assert_eq!(truss.read("base/requirements.txt").as_deref(), Some("# pinned\nnumpy==1.0\nscipy\n"));
}

#[test]
fn what_only_a_push_can_change_says_so() {
    for (field, value) in [("python_version", json!("py312")), ("resources", json!({"cpu": "4"}))] {
        let mut config = Config::from_yaml(CONFIG).unwrap().full();
        config[field] = value;
        let ops = [
            json!({"type": "config", "body": {"action": "UPDATE", "config": config, "path": "config.yaml"}}),
        ];
        match Truss::new(CONFIG).apply(&ops) {
            Err(PatchError::NeedsPush(reason)) => assert!(reason.contains(field), "{reason}"),
            other => panic!("{field}: {other:?}"),
        }
    }
    let system = json!({"type": "system_package", "body": {"action": "ADD", "package": "ffmpeg"}});
    assert!(matches!(Truss::new(CONFIG).apply(&[system]), Err(PatchError::NeedsPush(_))));
}

#[test]
fn paths_stay_inside() {
    for path in ["../model.py", "/etc/passwd", "", ".", "a/../../b", "a\0b"] {
        let truss = Truss::new(CONFIG);
        let refused = truss.apply(&[code("ADD", path, "x")]);
        assert!(matches!(refused, Err(PatchError::Refused(_))), "{path:?}: {refused:?}");
    }
}

#[test]
fn a_path_that_can_be_no_file_is_refused_and_is_not_taken_for_a_broken_disk() {
    let long = "x".repeat(300);
    for (action, path) in [
        ("ADD", long.as_str()),
        ("REMOVE", &long),
        ("ADD", "model.py/inner.py"),
        ("ADD", "helper/__init__.py/a/b.py"),
        ("REMOVE", "model.py/inner.py"),
    ] {
        let refused = Truss::new(CONFIG).apply(&[code(action, path, "x")]);
        assert!(matches!(&refused, Err(PatchError::Refused(_))), "{action} {path}: {refused:?}");
    }
    let requirement = json!({"type": "python_requirement", "action": "ADD", "requirement": "scipy"});
    for file in ["model", "model/model.py/requirements.txt", "../requirements.txt"] {
        let config = format!("model_name: m\npython_version: py311\nrequirements_file: {file}\n");
        let refused = Truss::new(&config).apply(std::slice::from_ref(&requirement));
        let named = |text: &String| text.contains(&format!("`requirements_file: {file}`"));
        assert!(matches!(&refused, Err(PatchError::Refused(text)) if named(text)), "{refused:?}");
    }
}

#[test]
fn content_that_is_not_what_was_promised_is_refused() {
    let truss = Truss::new(CONFIG);
    let ops = [Op::read(&code("UPDATE", "model.py", "new")).unwrap()];
    let mut signature = Signature::default();
    signature.content_hashes_by_path.insert("model/model.py".into(), Some("00".into()));
    let (base, next) = (truss.folder.path().join("base"), truss.folder.path().join("next"));
    let refused = apply(&base, &next, &truss.config, &ops, &signature);
    assert!(matches!(refused, Err(PatchError::Refused(_))), "{refused:?}");
}

fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z./_]{0,12}".prop_map(Value::from),
        prop_oneof!["ADD", "UPDATE", "REMOVE"].prop_map(Value::from),
    ];
    let key = prop_oneof![
        "type",
        "body",
        "action",
        "path",
        "content",
        "content_bytes",
        "item",
        "name",
        "value",
        "config",
        "requirement"
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop::collection::btree_map(key.clone(), inner, 0..6)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is sent, the answer is a change or a sentence, and nothing outside the copy is touched.
    #[test]
    fn hostile_steps_never_panic(kind in "(model_code|package|config|python_requirement|environment_variable|external_data|x)", mut body in anything()) {
        if let Value::Object(map) = &mut body {
            map.entry("type").or_insert_with(|| kind.into());
        }
        if let Err(error) = Op::read(&body) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn files_are_written_below_the_copy_only(path in "[a-c./]{0,12}") {
        let truss = Truss::new(CONFIG);
        let _ = truss.apply(&[code("ADD", &path, "x")]);
        let names: Vec<_> = fs::read_dir(truss.folder.path()).unwrap().flatten().map(|e| e.file_name()).collect();
        prop_assert!(names.iter().all(|name| name == "base" || name == "next"), "{names:?}");
        prop_assert_eq!(truss.read("base/model/model.py"), Some("old".to_owned()));
    }
}
