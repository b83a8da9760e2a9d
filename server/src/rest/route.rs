//! A route and its description are one value, so that nothing is served that is not described, or described and not
//! served.

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::{Api, Arc};

/// Schemas by their names, as the document keeps them.
pub type Schemas = Map<String, Value>;

/// One method of one path under `/v1`.
pub struct Route {
    method: &'static str,
    pub path: &'static str,
    /// Answered without a key.
    pub is_open: bool,
    pub serve: MethodRouter<Arc<Api>>,
    summary: &'static str,
    says: Option<&'static str>,
    query: Vec<Value>,
    body: Option<Value>,
    answer: Value,
    /// Statuses beside those that its shape implies.
    more: Vec<u16>,
    /// It can't succeed: it is here to say why.
    refuses: bool,
    schemas: Vec<(String, Value)>,
}

macro_rules! methods {
    ($($name:ident, $method:literal, $filter:ident;)+) => {$(
        pub fn $name<H, T>(path: &'static str, handler: H, summary: &'static str) -> Self
        where
            H: Handler<T, Arc<Api>>,
            T: 'static,
        {
            Self::new($method, path, on(MethodFilter::$filter, handler), summary)
        }
    )+};
}

impl Route {
    methods! {
        get, "get", GET;
        post, "post", POST;
        patch, "patch", PATCH;
        delete, "delete", DELETE;
    }

    fn new(
        method: &'static str,
        path: &'static str,
        serve: MethodRouter<Arc<Api>>,
        summary: &'static str,
    ) -> Self {
        Self {
            method,
            path,
            is_open: false,
            serve,
            summary,
            says: None,
            query: Vec::new(),
            body: None,
            answer: json!({ "description": "Done." }),
            more: Vec::new(),
            refuses: false,
            schemas: Vec::new(),
        }
    }

    /// More than the summary.
    pub fn says(mut self, text: &'static str) -> Self {
        self.says = Some(text);
        self
    }

    pub fn open(mut self) -> Self {
        self.is_open = true;
        self
    }

    /// Another status that it may answer.
    pub fn fails(mut self, status: u16) -> Self {
        self.more.push(status);
        self
    }

    /// It always answers 404, with the reason.
    pub fn refuses(mut self) -> Self {
        self.refuses = true;
        self.fails(404)
    }

    /// The parameters of its query: the fields of `T`. A list is said by saying the parameter several times.
    pub fn query<T: ToSchema>(mut self) -> Self {
        let schema = self.learn::<T>();
        let required: Vec<&Value> = schema["required"].as_array().into_iter().flatten().collect();
        for (name, of) in schema["properties"].as_object().into_iter().flatten() {
            let mut of = without_null(of.clone());
            let description = of.as_object_mut().and_then(|of| of.remove("description"));
            let mut parameter = json!({
                "name": name,
                "in": "query",
                "required": required.iter().any(|required| *required == name),
                "schema": of,
            });
            if let Some(description) = description {
                parameter["description"] = description;
            }
            self.query.push(parameter);
        }
        self
    }

    /// Its JSON body, which may be left out where every field may.
    pub fn body<T: ToSchema>(mut self) -> Self {
        let required = self.learn::<T>().get("required").is_some();
        let content = self.content::<T>();
        self.body = Some(json!({ "required": required, "content": content }));
        self
    }

    /// The JSON of its success.
    pub fn answers<T: ToSchema>(mut self) -> Self {
        self.learn::<T>();
        let content = self.content::<T>();
        self.answer = json!({ "description": "Done.", "content": content });
        self
    }

    /// A success of another kind than JSON; said again for each kind that it may have.
    pub fn answers_file(mut self, media: &str) -> Self {
        let schema = json!({ "type": "string", "format": "binary" });
        self.answer["description"] = "The file.".into();
        self.answer["content"][media] = json!({ "schema": schema });
        self
    }

    /// The schema of `T`, with those that it names kept for the document.
    fn learn<T: ToSchema>(&mut self) -> Value {
        let mut named = Vec::new();
        T::schemas(&mut named);
        self.schemas.extend(named.into_iter().map(|(name, schema)| (name, json!(schema))));
        json!(T::schema())
    }

    fn content<T: ToSchema>(&mut self) -> Value {
        self.schemas.push((T::name().into_owned(), json!(T::schema())));
        let reference = json!({ "$ref": format!("#/components/schemas/{}", T::name()) });
        json!({ "application/json": { "schema": reference } })
    }

    /// Adds itself to a document's paths, and its schemas to the document's.
    ///
    /// # Errors
    /// If two schemas have one name.
    pub fn describe(
        self,
        tag: &str,
        paths: &mut Map<String, Value>,
        schemas: &mut Schemas,
    ) -> Result<(), String> {
        let path = format!("/v1{}", self.path.trim_end_matches('/'));
        let mut parameters: Vec<Value> = in_path(&path).map(path_parameter).collect();
        let mut statuses = self.more;
        if !self.is_open {
            statuses.extend([401, 403, 429]);
        }
        if !parameters.is_empty() {
            statuses.extend([400, 404]);
        }
        if !self.query.is_empty() {
            statuses.push(400);
        }
        if self.body.is_some() {
            statuses.extend([400, 408, 413]);
        }
        if self.method != "get" {
            statuses.extend([409, 507]);
        }
        let mut responses = Map::new();
        if !self.refuses {
            responses.insert("200".into(), self.answer);
        }
        for status in statuses {
            responses
                .insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{status}") }));
        }
        parameters.extend(self.query);
        let mut operation = json!({
            "tags": [tag],
            "operationId": operation_id(self.method, &path),
            "summary": self.summary,
            "responses": responses,
        });
        if let Some(says) = self.says {
            operation["description"] = says.into();
        }
        if !parameters.is_empty() {
            operation["parameters"] = parameters.into();
        }
        if let Some(body) = self.body {
            operation["requestBody"] = body;
        }
        if self.is_open {
            operation["security"] = json!([]);
        }
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[self.method] = operation;
        for (name, schema) in self.schemas {
            match schemas.get(&name) {
                Some(known) if *known != schema => return Err(format!("two schemas are called {name}")),
                _ => schemas.insert(name, schema),
            };
        }
        Ok(())
    }
}

/// The names between braces.
fn in_path(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

/// `get_models_model_id_deployments`: what clients are generated with.
fn operation_id(method: &str, path: &str) -> String {
    let parts = path.split('/').skip(2).map(|part| part.trim_matches(['{', '}']));
    std::iter::once(method).chain(parts).collect::<Vec<_>>().join("_")
}

fn path_parameter(name: &str) -> Value {
    let id = "^[A-Za-z0-9_-]{1,64}$";
    let (description, pattern) = match name {
        "model_id" => ("The model's id.", id),
        "deployment_id" => ("The deployment's id, or `production` or `development`.", id),
        "replica_id" => ("The replica's id.", id),
        "env_name" => ("The environment's name.", "^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$"),
        "team_id" => ("The team's id; the only one is `default`.", id),
        "api_key_prefix" => ("The first characters of the key, up to its dot.", id),
        "secret_name" => ("The secret's name.", "^[A-Za-z0-9._-]{1,253}$"),
        "user_id" => ("The person's id, or `me`.", id),
        _ => ("", "^[^/]+$"),
    };
    json!({
        "name": name,
        "in": "path",
        "required": true,
        "description": description,
        "schema": { "type": "string", "pattern": pattern },
    })
}

/// A query has no null: what is not set is left out.
fn without_null(mut schema: Value) -> Value {
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            schema["type"] = kind;
        }
    }
    if let Some(choices) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        choices.retain(|choice| choice["type"] != "null");
        if let [choice] = choices.as_slice() {
            let choice = choice.clone();
            let whole = std::mem::replace(&mut schema, choice);
            for kept in ["description", "default"] {
                if schema.get(kept).is_none() && whole.get(kept).is_some() {
                    schema[kept] = whole[kept].clone();
                }
            }
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(ToSchema)]
    #[allow(dead_code)]
    struct Asked {
        /// How many.
        limit: Option<i64>,
        name: String,
        words: Option<Vec<String>>,
    }

    async fn nothing() {}

    #[test]
    fn a_route_says_what_it_takes_and_what_it_may_answer() {
        let (mut paths, mut schemas) = (Map::new(), Map::new());
        let route = Route::get("/models/{model_id}", nothing, "Read a model").query::<Asked>().fails(503);
        route.describe("Models", &mut paths, &mut schemas).unwrap();
        let told = &paths["/v1/models/{model_id}"]["get"];
        assert_eq!(told["operationId"], "get_models_model_id");
        let parameter = |name: &str| {
            let all = told["parameters"].as_array().unwrap();
            all.iter().find(|parameter| parameter["name"] == name).unwrap().clone()
        };
        assert_eq!(parameter("model_id")["in"], "path");
        assert_eq!(parameter("limit")["schema"]["type"], "integer");
        assert_eq!(
            (&parameter("limit")["description"], &parameter("limit")["required"]),
            (&json!("How many."), &json!(false))
        );
        assert_eq!(parameter("name")["required"], true);
        assert_eq!(parameter("words")["schema"]["type"], "array");
        let statuses: Vec<_> = told["responses"].as_object().unwrap().keys().cloned().collect();
        for status in ["200", "400", "401", "403", "404", "429", "503"] {
            assert!(statuses.contains(&status.to_owned()), "{status} in {statuses:?}");
        }
        assert!(!statuses.contains(&"413".to_owned()), "it takes no body");
    }
}
