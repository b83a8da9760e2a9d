//! Reading typed values out of a mapping, with errors that name the field.

use serde_json::{Map, Value};

use super::ConfigError;

/// A mapping and the path that leads to it (`runtime.health_checks`).
pub(super) struct Reader<'a> {
    path: String,
    map: Option<&'a Map<String, Value>>,
}

type Read<T> = Result<T, ConfigError>;

impl<'a> Reader<'a> {
    pub(super) fn root(map: &'a Map<String, Value>) -> Self {
        Self { path: String::new(), map: Some(map) }
    }

    /// The mapping under `key`; an empty one when it is missing or null.
    pub(super) fn section(&self, key: &str) -> Read<Reader<'a>> {
        Ok(self.optional_section(key)?.unwrap_or(Reader { path: self.name(key), map: None }))
    }

    pub(super) fn optional_section(&self, key: &str) -> Read<Option<Reader<'a>>> {
        let read = self.read(key, "a mapping", Value::as_object)?;
        Ok(read.map(|map| Reader { path: self.name(key), map: Some(map) }))
    }

    /// The items of a list of mappings.
    pub(super) fn sections(&self, key: &str) -> Read<Vec<Reader<'a>>> {
        let items = self.list(key)?;
        let reader = |(index, item): (usize, &'a Value)| match item.as_object() {
            Some(map) => Ok(Reader { path: format!("{}[{index}]", self.name(key)), map: Some(map) }),
            None => Err(self.wrong(&format!("{key}[{index}]"), "a mapping", item)),
        };
        items.iter().enumerate().map(reader).collect()
    }

    pub(super) fn value(&self, key: &str) -> Value {
        self.get(key).cloned().unwrap_or(Value::Null)
    }

    pub(super) fn text(&self, key: &str) -> Read<Option<String>> {
        Ok(self.read(key, "text", Value::as_str)?.map(str::to_owned))
    }

    pub(super) fn text_or(&self, key: &str, default: &str) -> Read<String> {
        Ok(self.text(key)?.unwrap_or_else(|| default.to_owned()))
    }

    pub(super) fn flag(&self, key: &str) -> Read<bool> {
        Ok(self.read(key, "true or false", Value::as_bool)?.unwrap_or_default())
    }

    pub(super) fn count(&self, key: &str) -> Read<Option<u64>> {
        self.read(key, "a whole number, zero or more", Value::as_u64)
    }

    pub(super) fn number(&self, key: &str) -> Read<Option<f64>> {
        self.read(key, "a number", Value::as_f64)
    }

    pub(super) fn texts(&self, key: &str) -> Read<Vec<String>> {
        let text = |(index, item): (usize, &Value)| match item.as_str() {
            Some(text) => Ok(text.to_owned()),
            None => Err(self.wrong(&format!("{key}[{index}]"), "text", item)),
        };
        self.list(key)?.iter().enumerate().map(text).collect()
    }

    pub(super) fn is_filled(&self, key: &str) -> bool {
        match self.get(key) {
            None | Some(Value::Null) => false,
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            Some(_) => true,
        }
    }

    /// Keys and texts in the order of the keys; nulls as empty text.
    pub(super) fn pairs(&self, key: &str) -> Read<Vec<(String, String)>> {
        let Some(map) = self.read(key, "a mapping", Value::as_object)? else { return Ok(Vec::new()) };
        let pair = |(name, value): (&String, &Value)| match value {
            Value::String(text) => Ok((name.clone(), text.clone())),
            Value::Null => Ok((name.clone(), String::new())),
            other => Err(self.wrong(&format!("{key}.{name}"), "text", other)),
        };
        map.iter().map(pair).collect()
    }

    fn list(&self, key: &str) -> Read<&'a [Value]> {
        Ok(self.read(key, "a list", Value::as_array)?.map_or(&[], Vec::as_slice))
    }

    fn read<T>(
        &self,
        key: &str,
        expected: &'static str,
        get: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Read<Option<T>> {
        match self.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => get(value).map(Some).ok_or_else(|| self.wrong(key, expected, value)),
        }
    }

    fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.and_then(|map| map.get(key))
    }

    fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn wrong(&self, key: &str, expected: &'static str, found: &Value) -> ConfigError {
        ConfigError::Field { field: self.name(key), expected, found: shown(found) }
    }
}

/// What a value is, in a word or two.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind(value).to_owned(),
        scalar => format!("`{}`", scalar.to_string().chars().take(80).collect::<String>()),
    }
}
