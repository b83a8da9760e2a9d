//! One step of a change, from either of its two JSON forms: `{"type", "body": {…}}` or all in one object.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::PatchError;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Add,
    Update,
    Remove,
}

/// A file below one of the Truss's folders; `content` is `None` where it is removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Relative, with `/`; checked when it is applied.
    pub path: String,
    pub content: Option<Vec<u8>>,
}

/// One step of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Below the model's folder. `hot` asks for the class to be swapped without a new start.
    ModelCode { file: FileChange, hot: bool },
    /// Below the folder of bundled packages.
    Package { file: FileChange },
    /// The whole new configuration.
    Config { config: Value },
    /// A line of the requirements; for a removal the package's name may stand alone.
    Requirement { action: Action, line: String },
    /// `None` removes it.
    Variable { name: String, value: Option<String> },
    /// An item of `external_data`.
    ExternalData { action: Action, item: Value },
}

impl Op {
    /// Reads a step; the refusal names the field.
    pub fn read(value: &Value) -> Result<Self, PatchError> {
        let kind = value.get("type").and_then(Value::as_str).ok_or_else(|| missing("type"))?;
        let body = value.get("body").filter(|body| body.is_object()).unwrap_or(value);
        match kind {
            "model_code" => {
                let hot = body.get("hot_reload").and_then(Value::as_bool).unwrap_or(false);
                Ok(Self::ModelCode { file: file(body)?, hot })
            }
            "package" => Ok(Self::Package { file: file(body)? }),
            "config" => {
                let config = body.get("config").filter(|config| config.is_object());
                Ok(Self::Config { config: config.ok_or_else(|| missing("config"))?.clone() })
            }
            "python_requirement" => {
                Ok(Self::Requirement { action: action(body)?, line: text(body, "requirement")?.to_owned() })
            }
            "environment_variable" => variable(body),
            "external_data" => {
                let item = body.get("item").filter(|item| item.is_object());
                Ok(Self::ExternalData {
                    action: action(body)?,
                    item: item.ok_or_else(|| missing("item"))?.clone(),
                })
            }
            "system_package" => {
                Err(PatchError::NeedsPush("system packages can't be changed in place".into()))
            }
            "data" => Err(PatchError::NeedsPush("files of the data folder can't be changed in place".into())),
            other => {
                Err(PatchError::NeedsPush(format!("`type: {other}` is no change that can be made in place")))
            }
        }
    }
}

fn missing(field: &str) -> PatchError {
    PatchError::Refused(format!("a step of the change lacks `{field}`, or has it in another form"))
}

fn text<'a>(body: &'a Value, field: &str) -> Result<&'a str, PatchError> {
    body.get(field).and_then(Value::as_str).ok_or_else(|| missing(field))
}

fn action(body: &Value) -> Result<Action, PatchError> {
    match text(body, "action")? {
        "ADD" => Ok(Action::Add),
        "UPDATE" => Ok(Action::Update),
        "REMOVE" => Ok(Action::Remove),
        other => Err(PatchError::Refused(format!("`action: {other}` is not one of ADD, UPDATE, REMOVE"))),
    }
}

fn file(body: &Value) -> Result<FileChange, PatchError> {
    let path = text(body, "path")?.to_owned();
    if action(body)? == Action::Remove {
        return Ok(FileChange { path, content: None });
    }
    let bytes = match (body.get("content"), body.get("content_bytes")) {
        (Some(Value::String(text)), _) => text.clone().into_bytes(),
        (_, Some(Value::String(encoded))) => STANDARD.decode(encoded).map_err(|error| {
            PatchError::Refused(format!("`content_bytes` of `{path}` is no base64: {error}"))
        })?,
        _ => return Err(missing("content")),
    };
    Ok(FileChange { path, content: Some(bytes) })
}

/// `{"item": {NAME: VALUE}}`, or `{"name": NAME, "value": VALUE}`.
fn variable(body: &Value) -> Result<Op, PatchError> {
    let removed = action(body)? == Action::Remove;
    let pair = match body.get("item").and_then(Value::as_object) {
        Some(item) => item.iter().next().map(|(name, value)| (name.clone(), value.clone())),
        None => body
            .get("name")
            .and_then(Value::as_str)
            .map(|name| (name.to_owned(), body.get("value").cloned().unwrap_or_default())),
    };
    let (name, value) = pair.ok_or_else(|| missing("item"))?;
    if removed {
        return Ok(Op::Variable { name, value: None });
    }
    match value {
        Value::String(value) => Ok(Op::Variable { name, value: Some(value) }),
        Value::Bool(_) | Value::Number(_) => Ok(Op::Variable { name, value: Some(value.to_string()) }),
        _ => Err(missing("value")),
    }
}
