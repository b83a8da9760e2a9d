//! What the `truss` command asks: GraphQL at `/graphql/`.

#[cfg(test)]
mod bad_input;
mod mutation;
mod query;
pub mod types;
mod unread;

use std::sync::Arc;

use async_graphql::{EmptySubscription, Name, Request, Schema, Value, Variables};
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::post;
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::answer;
use crate::api::Api;
use crate::rest;

use mutation::Mutation;
use query::Query;

/// The most a body may have, in bytes: patches carry whole files.
const LIMIT: usize = 100 << 20;
/// Deeper questions than the client's are nobody's.
const DEPTH: usize = 12;
const FIELDS: usize = 400;

type Served = Schema<Query, Mutation, EmptySubscription>;

#[derive(Clone)]
struct Door {
    api: Arc<Api>,
    schema: Served,
}

/// `POST /graphql/`, with and without the slash.
pub fn router(api: Arc<Api>) -> Router {
    let schema = schema().data(api.clone()).finish();
    let door = Door { api, schema };
    Router::new()
        .route("/graphql/", post(answer_query))
        .route("/graphql", post(answer_query))
        .with_state(door)
}

fn schema() -> async_graphql::SchemaBuilder<Query, Mutation, EmptySubscription> {
    Schema::build(Query, Mutation, EmptySubscription).limit_depth(DEPTH).limit_complexity(FIELDS)
}

#[derive(Deserialize)]
struct Posted {
    query: String,
    #[serde(default)]
    variables: Option<serde_json::Value>,
    #[serde(default, rename = "operationName")]
    operation_name: Option<String>,
}

async fn answer_query(State(door): State<Door>, asked: axum::extract::Request) -> Response {
    let actor = match door.api.caller(asked.headers()).await {
        Ok(actor) => actor,
        Err(error) => return rest::failure(&error),
    };
    // Both spellings of the address are one endpoint.
    if let Err(refused) = rest::admit(&door.api, &actor, &Method::POST, "/graphql/") {
        return refused;
    }
    // Not before it is known who asks: many strangers at once would fill the memory.
    let body = match rest::received(asked.into_body(), LIMIT).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let posted: Posted = match serde_json::from_slice(&body) {
        Ok(posted) => posted,
        Err(error) => {
            let message = format!("the body is not {{\"query\": …, \"variables\": …}}: {error}");
            return answer::error(StatusCode::BAD_REQUEST, "INVALID_REQUEST", &message);
        }
    };
    let mut request = Request::new(posted.query).data(actor);
    if let Some(variables) = posted.variables {
        request = request.variables(Variables::from_json(variables));
    }
    if let Some(name) = posted.operation_name {
        request = request.operation_name(name);
    }
    let mut response = door.schema.execute(request).await;
    unread::tell(&mut response.errors);
    add_upload_address(&mut response.data, &door.api.public_url);
    answer::ok(&response)
}

/// Adds where uploads go: the client passes all it gets on to its S3 library, but asks for five fields only.
fn add_upload_address(data: &mut Value, public_url: &str) {
    let Value::Object(data) = data else { return };
    if let Some(Value::Object(credentials)) = data.get_mut("model_s3_upload_credentials") {
        credentials.insert(Name::new("endpoint_url"), format!("{public_url}/s3").into());
        credentials.insert(Name::new("region_name"), "us-east-1".into());
    }
}

/// A use case's refusal, as the client reads it.
fn refused(error: &control::Error) -> async_graphql::Error {
    use async_graphql::ErrorExtensions;
    let (_, code, message) = rest::described(error);
    async_graphql::Error::new(&message).extend_with(|_, extensions| {
        extensions.set("code", code);
        extensions.set("description", message.clone());
    })
}

#[cfg(test)]
#[path = "../tests/api/support/client.rs"]
mod client;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;

    /// Every text passes validation; without the application behind it, what fails is a resolver.
    #[tokio::test]
    async fn the_schema_takes_every_text_of_the_client() {
        let schema = schema().finish();
        let texts = [
            client::query(client::WHOAMI),
            client::query(client::TEAMS),
            client::query(client::MODELS),
            client::query(client::CREDENTIALS),
            client::query(client::INSTANCES),
            client::validation("e30="),
            client::create_model(
                "m",
                "k",
                "e30=",
                "version_name: \"a\"\n model_origin: BASETEN\n team_id: \"default\"",
            ),
            client::create_version(
                "m",
                "k",
                "e30=",
                "name: \"a\"\n environment_name: \"e\"\n deploy_timeout_minutes: 30",
            ),
            client::deploy_draft("m", "k", "e30="),
            client::model_by_name("m"),
            client::model_by_id("m"),
            client::version("v"),
            client::watch_state("m"),
            client::stage_patch("m", "e30="),
        ];
        for text in texts {
            let mut request = Request::new(text["query"].as_str().unwrap());
            if let Some(variables) = text.get("variables").cloned() {
                request = request.variables(Variables::from_json(variables));
            }
            let response = schema.execute(request).await;
            for error in &response.errors {
                assert!(error.message.contains("does not exist"), "{}\n{text}", error.message);
                assert!(!error.path.is_empty(), "not from a resolver: {}\n{text}", error.message);
            }
        }
    }

    #[tokio::test]
    async fn a_quote_in_a_name_is_an_error_not_a_failure() {
        let response =
            schema().finish().execute(client::model_by_name("a\"b")["query"].as_str().unwrap()).await;
        assert!(!response.errors.is_empty());
        let text: Json = serde_json::to_value(&response).unwrap();
        assert!(text["errors"][0]["message"].is_string());
    }

    #[test]
    fn uploads_learn_where_to_go() {
        let mut data =
            Value::from_json(serde_json::json!({"model_s3_upload_credentials": {"s3_key": "k"}})).unwrap();
        add_upload_address(&mut data, "http://localhost:8000");
        let text = data.into_json().unwrap();
        assert_eq!(text["model_s3_upload_credentials"]["endpoint_url"], "http://localhost:8000/s3");
        assert_eq!(text["model_s3_upload_credentials"]["region_name"], "us-east-1");
    }
}
