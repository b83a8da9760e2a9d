//! The API's own description, as OpenAPI 3.1, made from the routes that are served.

use std::sync::LazyLock;

use super::*;
use serde_json::{Map, Value, json};

/// What every failure looks like.
#[derive(utoipa::ToSchema)]
#[allow(dead_code, reason = "it is described here, and written by `answer`")]
struct Error {
    /// What kind of failure it is, for programs.
    code: String,
    /// What was attempted, what was wrong, and what to do, for people.
    message: String,
}

const ABOUT: &str = "\
Manages models, their deployments and environments. A success is always 200; a failure has `code` and `message`. \
A path or method that is not served answers 404 with the code `NOT_SERVED`; a fault of the server's own answers 500. \
Names of hosts that the server does not know are answered with 421, and changes that pages of other sites ask for with 403.";

/// The document, made once.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| document().unwrap_or_else(|problem| json!({ "error": problem })));

pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/spec", read, "Read this description")
            .says("It holds no secret, so it needs no key.")
            .open()
            .answers::<Document>(),
    ]
}

/// An OpenAPI document.
#[derive(utoipa::ToSchema)]
#[schema(value_type = Object)]
#[allow(dead_code, reason = "it is described, and never made")]
struct Document(Map<String, Value>);

async fn read() -> Response {
    answer::ok(kept())
}

/// The document as it is served.
pub fn kept() -> &'static Value {
    &DOCUMENT
}

/// Describes every route that is served.
///
/// # Errors
/// If two schemas have one name: the description would be wrong about one of them.
pub fn document() -> Result<Value, String> {
    let (mut paths, mut schemas, mut tags) = (Map::new(), Map::new(), Vec::new());
    for (tag, about, routes) in groups() {
        tags.push(json!({ "name": tag, "description": about }));
        for route in routes {
            route.describe(tag, &mut paths, &mut schemas)?;
        }
    }
    schemas.insert("Error".into(), json!(<Error as utoipa::PartialSchema>::schema()));
    Ok(json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Slipway",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "tags": tags,
        "security": [{ "bearer": [] }, { "api_key": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": failures(),
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer", "description": "`Authorization: Bearer KEY`" },
                "api_key": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "Authorization",
                    "description": "`Authorization: Api-Key KEY`",
                },
            },
        },
    }))
}

/// Each failure by its status.
fn failures() -> Value {
    let all = [
        (400, "Something that was sent is wrong, or stands in the way; the message names the field."),
        (401, "There is no API key, or it is unknown or revoked."),
        (403, "The key's role does not permit it."),
        (404, "There is no such thing."),
        (409, "Somebody changed the same thing at the same moment; read it and try again."),
        (408, "The body came too slowly."),
        (413, "The body is too large."),
        (429, "Too many requests by one key; try again later."),
        (503, "Not ready yet; ask again."),
        (507, "The server's disk is full; nothing was changed, and models go on answering."),
    ];
    let schema = json!({ "$ref": "#/components/schemas/Error" });
    all.into_iter()
        .map(|(status, description)| {
            let content = json!({ "application/json": { "schema": schema } });
            (status.to_string(), json!({ "description": description, "content": content }))
        })
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

    #[test]
    fn the_description_in_the_repository_is_that_of_the_routes() {
        let document = document().unwrap();
        if std::env::var_os("UPDATE_SPEC").is_some() {
            std::fs::write(GOLDEN, serde_json::to_string_pretty(&document).unwrap() + "\n").unwrap();
        }
        let golden = std::fs::read_to_string(GOLDEN).unwrap_or_default();
        let golden: Value = serde_json::from_str(&golden).unwrap_or_default();
        assert!(golden == document, "docs/openapi.json is old: UPDATE_SPEC=1 cargo test -p server spec");
    }

    #[test]
    fn every_reference_leads_somewhere_and_no_schema_is_left_over() {
        let document = document().unwrap();
        let text = document.to_string();
        for (position, _) in text.match_indices("\"#/components/") {
            let reference = text[position + 1..].split('"').next().unwrap();
            assert!(document.pointer(&reference[1..]).is_some(), "{reference}");
        }
        for name in document["components"]["schemas"].as_object().unwrap().keys() {
            assert!(text.contains(&format!("\"#/components/schemas/{name}\"")), "nothing names {name}");
        }
    }

    #[test]
    fn operations_have_names_of_their_own() {
        let document = document().unwrap();
        let operations = document["paths"].as_object().unwrap().values();
        let mut names: Vec<&str> = operations
            .flat_map(|methods| methods.as_object().unwrap().values())
            .map(|operation| operation["operationId"].as_str().unwrap())
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert!(count > 60 && names.len() == count);
    }
}
