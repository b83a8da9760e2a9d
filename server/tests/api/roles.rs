//! What each role may at each door, by the doors' own lists of themselves: nothing new is forgotten here.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::support::{Call, World};

/// What a viewer may ask for that is no reading: it changes nothing, or only what is theirs.
const VIEWERS_MAY: [&str; 1] = [
    // A question in a body.
    "post /v1/models/{model_id}/deployments/{deployment_id}/logs",
];
/// What only admins and keepers of keys may read, and where a push begins.
const NOT_FOR_VIEWERS: [&str; 3] =
    ["get /v1/audit_logs", "get /v1/api_keys", "get /v1/blobs/credentials/model"];

/// What is looked at before who asks: whether there is a development deployment, and what a push holds. Nothing is done
/// then, and whoever may not push gets no leave to upload either.
const LOOKED_AT_FIRST: [&str; 6] = [
    "post /v1/models/{model_id}/deployments/{deployment_id}/patches",
    "post /v1/models/{model_id}/deployments/{deployment_id}/patches/sync",
    "post /v1/prepare_model_upload",
    "post /v1/models",
    "post /v1/teams/{team_id}/models",
    "post /v1/models/{model_id}/deployments",
];

/// A body that would change something where all fields may be left out.
fn changing(endpoint: &str) -> Option<Value> {
    Some(match endpoint {
        // The first type of key is one's own, which everybody may make.
        _ if endpoint.ends_with("/api_keys") => json!({ "name": "more", "type": "WORKSPACE_INVOKE" }),
        "patch /v1/models/{model_id}" => json!({ "name": "Other" }),
        "patch /v1/models/{model_id}/deployments/{deployment_id}" => json!({ "name": "other" }),
        _ if endpoint.ends_with("/request_backpressure_settings") => json!({ "policy": "REJECT_ON_FULL" }),
        _ => return None,
    })
}

/// The smallest value that a schema permits.
fn smallest(schema: &Value, all: &Value) -> Value {
    if let Some(name) = schema["$ref"].as_str().and_then(|path| path.rsplit('/').next()) {
        return smallest(&all[name], all);
    }
    if let Some(first) = schema["enum"].as_array().and_then(|choices| choices.first()) {
        return first.clone();
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        if let Some(first) = schema[several].as_array().and_then(|choices| choices.first()) {
            return smallest(first, all);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds[0].as_str().unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    };
    match kind {
        "object" => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let fields = required.map(|name| (name.to_owned(), smallest(&schema["properties"][name], all)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        "array" => json!([]),
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or(json!(1)),
        "boolean" => json!(false),
        _ => json!("some-text"),
    }
}

#[tokio::test]
async fn rest_permits_each_role_what_it_may_and_no_more() {
    let world = World::start().await;
    let (model, deployment) = world.push(Ok("Roles"), "").await;
    world.reaches(&model, &deployment, "ACTIVE").await;
    let prefix = world.create_key("victim", "invoker").await.split('.').next().unwrap().to_owned();
    let spec = world.send(Call::new("GET", "/v1/spec")).await.ok();
    let schemas = &spec["components"]["schemas"];
    let roles = ["invoker", "exporter", "keykeeper", "viewer"];
    let mut keys = Vec::new();
    for role in roles {
        keys.push((role, format!("Bearer {}", world.create_key(role, role).await)));
    }
    let named = |part: &str| match part {
        "{model_id}" => model.clone(),
        "{deployment_id}" => deployment.clone(),
        "{env_name}" => "production".to_owned(),
        "{team_id}" => "default".to_owned(),
        "{api_key_prefix}" => prefix.clone(),
        part if part.starts_with('{') => "some-name".to_owned(),
        part => part.to_owned(),
    };
    let mut wrong = Vec::new();
    let mut refused = 0;
    for (path, methods) in spec["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation["security"] == json!([]) || operation["responses"].get("200").is_none() {
                continue;
            }
            let endpoint = format!("{method} {path}");
            let real: Vec<String> = path.split('/').map(named).collect();
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let body = changing(&endpoint).unwrap_or_else(|| match body["$ref"] {
                Value::Null => json!({}),
                _ => smallest(body, schemas),
            });
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let required = parameters.filter(|part| part["in"] == "query" && part["required"] == true);
            let now = crate::support::now() * 1000;
            let query: Vec<String> =
                required.map(|part| format!("{}={now}", part["name"].as_str().unwrap())).collect();
            let address = format!("{}?{}", real.join("/"), query.join("&"));
            let reads = method == "get";
            for (role, key) in &keys {
                let call =
                    Call::new(&method.to_uppercase(), address.as_str()).header("authorization", key.clone());
                let answer = world.send(call.json(&body)).await;
                let is_refused = answer.status == 403;
                let expected = match *role {
                    "viewer" if reads => NOT_FOR_VIEWERS.contains(&endpoint.as_str()),
                    "viewer" => !VIEWERS_MAY.contains(&endpoint.as_str()),
                    _ => is_for_others(&endpoint, role),
                };
                refused += usize::from(is_refused);
                let early = answer.status == 400 && LOOKED_AT_FIRST.contains(&endpoint.as_str());
                if is_refused != expected && !early {
                    wrong.push(format!(
                        "{role}: {endpoint} with {body} answers {}: {}",
                        answer.status,
                        answer.text()
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 200, "{refused}");
    // Nothing of all that was done.
    assert_eq!(world.deployment(&model, &deployment).await["status"], "ACTIVE");
    world.stop().await;
}

/// Whether one of the small roles is refused: at all but what tells every key where it is.
fn is_for_others(endpoint: &str, role: &str) -> bool {
    let for_everybody: BTreeSet<&str> = [
        "get /v1/organizations/me",
        "get /v1/users/me",
        "get /v1/teams",
        "get /v1/teams/{team_id}",
        "get /v1/instance_types",
        "get /v1/instance_type_prices",
        "get /v1/regions",
        "get /v1/teams/{team_id}/regions",
    ]
    .into();
    let for_keepers = [
        "get /v1/api_keys",
        "post /v1/api_keys",
        "post /v1/teams/{team_id}/api_keys",
        "delete /v1/api_keys/{api_key_prefix}",
    ];
    let may = for_everybody.contains(endpoint) || role == "keykeeper" && for_keepers.contains(&endpoint);
    !may
}
