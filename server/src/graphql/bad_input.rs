//! Questions that nobody would ask on purpose.

use std::sync::LazyLock;

use async_graphql::{Request, Variables};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Served, client, schema};

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
}
