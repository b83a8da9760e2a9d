//! The API's description as a page for reading. Nothing is said here that the document does not say.

use app::view::{
    ReferenceField, ReferenceGroup, ReferenceKind, ReferencePage, ReferenceRoute, ReferenceShape,
};
use serde_json::{Map, Value};

/// The page of an OpenAPI document.
pub fn reference_page(document: &Value) -> ReferencePage {
    let groups = list(&document["tags"]).map(|tag| ReferenceGroup {
        anchor: anchor(text(&tag["name"])),
        name: text(&tag["name"]).into(),
        about: text(&tag["description"]).into(),
        routes: routes(document, &tag["name"]),
    });
    let shapes = entries(&document["components"]["schemas"]).map(|(name, schema)| shape(name, schema));
    ReferencePage {
        version: text(&document["info"]["version"]).into(),
        about: text(&document["info"]["description"]).into(),
        groups: groups.collect(),
        shapes: shapes.collect(),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// A name as it may stand in an address.
fn anchor(name: &str) -> String {
    name.to_lowercase().replace(' ', "-")
}

/// The routes of a group, by path, and of a path in the order of reading before changing.
fn routes(document: &Value, tag: &Value) -> Vec<ReferenceRoute> {
    const ORDER: [&str; 4] = ["get", "post", "patch", "delete"];
    let of_path = |(path, methods): (&String, &Value)| {
        let routes = ORDER.iter().filter_map(|method| {
            let operation = methods.get(*method)?;
            list(&operation["tags"]).any(|of| of == tag).then(|| route(document, method, path, operation))
        });
        routes.collect::<Vec<_>>()
    };
    entries(&document["paths"]).flat_map(of_path).collect()
}

fn route(document: &Value, method: &str, path: &str, operation: &Value) -> ReferenceRoute {
    let content = |of: &Value| {
        if let Some(content) = of["content"].get("application/json") {
            return Some(kind(&content["schema"]));
        }
        let media: Vec<&str> = entries(&of["content"]).map(|(media, _)| media.as_str()).collect();
        (!media.is_empty()).then(|| plain(&media.join(" or ")))
    };
    let failures = entries(&operation["responses"]).filter(|(status, _)| *status != "200");
    let meaning = |status: &str| text(&document["components"]["responses"][status]["description"]).to_owned();
    ReferenceRoute {
        anchor: text(&operation["operationId"]).into(),
        method: method.to_uppercase(),
        path: path.into(),
        summary: text(&operation["summary"]).into(),
        says: text(&operation["description"]).into(),
        needs_key: operation.get("security").is_none(),
        parameters: list(&operation["parameters"]).map(parameter).collect(),
        body: content(&operation["requestBody"]),
        answer: content(&operation["responses"]["200"]),
        failures: failures.map(|(status, _)| (status.clone(), meaning(status))).collect(),
    }
}

fn parameter(of: &Value) -> ReferenceField {
    ReferenceField {
        name: text(&of["name"]).into(),
        kind: kind(&of["schema"]),
        required: of["required"] == true,
        says: text(&of["description"]).into(),
        limits: limits(&of["schema"]),
    }
}

fn shape(name: &str, schema: &Value) -> ReferenceShape {
    // A shape that takes in another one is that one and more.
    let parts: Vec<&Value> = match schema["allOf"].as_array() {
        Some(parts) => parts.iter().collect(),
        None => vec![schema],
    };
    let taken = parts.iter().filter_map(|part| part.get("$ref")).map(|reference| ReferenceField {
        name: "…".into(),
        kind: named(text(reference)),
        required: true,
        says: "All of its fields.".into(),
        limits: String::new(),
    });
    let own = parts.iter().flat_map(|part| {
        entries(&part["properties"]).map(|(name, of)| ReferenceField {
            name: name.clone(),
            kind: kind(of),
            required: list(&part["required"]).any(|required| required == name),
            says: text(&of["description"]).into(),
            limits: limits(of),
        })
    });
    ReferenceShape {
        anchor: name.into(),
        name: name.into(),
        says: text(&schema["description"]).into(),
        words: list(&schema["enum"]).map(|word| text(word).to_owned()).collect(),
        fields: taken.chain(own).collect(),
    }
}

fn plain(text: &str) -> ReferenceKind {
    ReferenceKind { text: text.into(), anchor: String::new() }
}

fn named(reference: &str) -> ReferenceKind {
    let name = reference.rsplit('/').next().unwrap_or(reference);
    ReferenceKind { text: name.into(), anchor: name.into() }
}

/// `integer or null`, `list of Model`, `PromotionStatus`.
fn kind(schema: &Value) -> ReferenceKind {
    if let Some(reference) = schema.get("$ref") {
        return named(text(reference));
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let is_null = |choice: &&Value| choice["type"] == "null";
        let mut found =
            choices.iter().find(|choice| !is_null(choice)).map(kind).unwrap_or_else(|| plain("any"));
        if choices.iter().any(|choice| is_null(&choice)) {
            found.text.push_str(" or null");
        }
        return found;
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().map(text).collect(),
        _ => vec!["any"],
    };
    let or_null = if kinds.contains(&"null") { " or null" } else { "" };
    let main = kinds.into_iter().find(|kind| *kind != "null").unwrap_or("null");
    let format = match text(&schema["format"]) {
        "date-time" => Some("date and time"),
        "date" => Some("date"),
        _ => None,
    };
    if main == "array" {
        let of = kind(&schema["items"]);
        return ReferenceKind { text: format!("list of {}{or_null}", of.text), anchor: of.anchor };
    }
    if main == "object" && schema["additionalProperties"].is_object() {
        let of = kind(&schema["additionalProperties"]);
        return ReferenceKind { text: format!("map to {}{or_null}", of.text), anchor: of.anchor };
    }
    plain(&format!("{}{or_null}", format.unwrap_or(main)))
}

/// What a value must keep to.
fn limits(schema: &Value) -> String {
    let mut parts = Vec::new();
    let number = |name: &str| schema[name].as_f64().map(|number| number.to_string());
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => parts.push(format!("{least} to {most}")),
        (Some(least), None) => parts.push(format!("{least} or more")),
        (None, Some(most)) => parts.push(format!("at most {most}")),
        (None, None) => {}
    }
    match (number("minLength"), number("maxLength")) {
        (Some(least), Some(most)) => parts.push(format!("{least} to {most} characters")),
        (None, Some(most)) => parts.push(format!("at most {most} characters")),
        _ => {}
    }
    if let Some(most) = number("maxItems") {
        parts.push(format!("at most {most}"));
    }
    match &schema["default"] {
        Value::Null => {}
        Value::String(word) => parts.push(format!("otherwise {word}")),
        other => parts.push(format!("otherwise {other}")),
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page() -> ReferencePage {
        reference_page(&crate::rest::spec::document().unwrap())
    }

    #[test]
    fn every_route_is_on_the_page_once() {
        let document = crate::rest::spec::document().unwrap();
        let described: usize =
            entries(&document["paths"]).map(|(_, methods)| methods.as_object().unwrap().len()).sum();
        let page = page();
        let mut anchors: Vec<_> =
            page.groups.iter().flat_map(|group| &group.routes).map(|route| &route.anchor).collect();
        assert_eq!(anchors.len(), described);
        anchors.sort();
        anchors.dedup();
        assert_eq!(anchors.len(), described);
    }

    #[test]
    fn every_link_leads_to_a_shape() {
        let page = page();
        let routes = page.groups.iter().flat_map(|group| &group.routes);
        let of_routes = routes.flat_map(|route| {
            let parameters = route.parameters.iter().map(|field| &field.kind);
            parameters.chain(&route.body).chain(&route.answer)
        });
        let of_shapes = page.shapes.iter().flat_map(|shape| &shape.fields).map(|field| &field.kind);
        for kind in of_routes.chain(of_shapes).filter(|kind| !kind.anchor.is_empty()) {
            assert!(page.shapes.iter().any(|shape| shape.anchor == kind.anchor), "{kind:?}");
        }
    }

    #[test]
    fn a_field_says_what_it_is_and_what_it_must_keep_to() {
        let page = page();
        let shape = |name: &str| page.shapes.iter().find(|shape| shape.name == name).unwrap();
        let field =
            |of: &str, name: &str| shape(of).fields.iter().find(|field| field.name == name).unwrap().clone();
        let window = field("UpdateAutoscaling", "autoscaling_window");
        assert_eq!((window.kind.text.as_str(), window.limits.as_str()), ("integer or null", "10 to 3600"));
        assert!(!window.required && window.says.contains("Seconds"));
        let settings = field("Deployment", "autoscaling_settings");
        assert_eq!(settings.kind.text, "AutoscalingSettings or null");
        assert_eq!(settings.kind.anchor, "AutoscalingSettings");
        assert!(settings.required);
        assert_eq!(field("Models", "models").kind.text, "list of Model");
        assert!(shape("PromotionStatus").words.contains(&"RAMPING_UP".to_owned()));
    }
}
