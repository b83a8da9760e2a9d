//! Questions that nobody would ask on purpose.

use std::sync::LazyLock;

use async_graphql::{Request, Variables};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Served, client, mutation, schema};

static SCHEMA: LazyLock<Served> = LazyLock::new(|| schema().finish());

fn texts() -> Vec<String> {
    let asked = [
        client::query(client::MODELS),
        client::create_model("m", "k", "e30=", "version_name: \"a\"\n model_origin: BASETEN"),
        client::model_by_name("m"),
        client::watch_state("m"),
        client::stage_patch("m", "e30="),
    ];
    let nested = format!("{{ {} }}", "models { ".repeat(30) + &"}".repeat(30));
    let spread = "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a models { id } }";
    let mut texts: Vec<String> =
        asked.iter().map(|text| text["query"].as_str().unwrap().to_owned()).collect();
    texts.extend([nested, spread.to_owned()]);
    texts
}

/// What the argument `patch` of a change in place holds.
fn a_change() -> Value {
    json!({
        "prev_hash": "a", "next_hash": "b",
        "next_signature": {"content_hashes_by_path": {"model/model.py": "00"}, "config": "model_name: Echo\n"},
        "patch_ops": [{"type": "model_code", "body": {"action": "UPDATE", "path": "model.py", "content": "new"}}],
    })
}

proptest! {
    #![proptest_config(mangle::config())]

    #[test]
    fn any_question_is_answered_with_data_or_errors(
        text in mangle::mangled(texts().into_iter().map(String::into_bytes).collect()),
        variables in mangle::mangled_json(vec![
            json!({ "trussUserEnv": "{}", "userDeployMetadata": "{\"team\": \"a\"}", "rawConfig": null }),
        ]),
    ) {
        let text = String::from_utf8_lossy(&text).into_owned();
        let size = text.len() + variables.to_string().len();
        let schema = &*SCHEMA;
        // Behind the questions stands no application here, so what is understood fails in a resolver.
        let response = mangle::bounded(size, 2_000, || {
            let request = Request::new(text).variables(Variables::from_json(variables));
            futures::executor::block_on(schema.execute(request))
        });
        let answer: Value = serde_json::to_value(&response).unwrap();
        prop_assert!(!answer["data"].is_null() || answer["errors"][0]["message"].is_string(), "{}", answer);
    }

    #[test]
    fn any_change_in_place_is_read_or_refused_by_its_argument(
        value in mangle::mangled_json(vec![a_change()]),
        bytes in mangle::mangled(vec![a_change().to_string().into_bytes()]),
        argument in mangle::mangled_text(&["e30=", &STANDARD.encode(a_change().to_string())]),
    ) {
        for argument in [STANDARD.encode(value.to_string()), STANDARD.encode(bytes), argument] {
            if let Err(said) = mangle::bounded(argument.len(), 200, || mutation::change(&argument)) {
                prop_assert!(said.starts_with("patch: "), "{}", said);
            }
        }
    }
}
