//! Reads YAML without becoming much larger than its text: aliases repeat what they name, and so on.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What a value costs beside its text.
const EACH: usize = 16;
/// What a document may cost beyond what one of its length can without an alias.
const MORE: usize = 50_000;

/// The value of a document.
///
/// # Errors
/// If it is no YAML, and if its aliases make more of it than its length permits: without an alias, no document does.
pub(crate) fn from_yaml(text: &str) -> Result<Value, serde_norway::Error> {
    // The dearest of two bytes is a key of one letter without a value, and what parts it from the next.
    let left = Cell::new(MORE + text.len() * (EACH + 2));
    Bounded(&left).deserialize(serde_norway::Deserializer::from_str(text))
}

#[derive(Clone, Copy)]
struct Bounded<'a>(&'a Cell<usize>);

impl Bounded<'_> {
    fn pay<E: Error>(self, bytes: usize) -> Result<(), E> {
        let left = self.0.get().checked_sub(EACH + bytes);
        left.map(|left| self.0.set(left))
            .ok_or_else(|| E::custom("its aliases make too much of it; write it out"))
    }

    fn text<E: Error>(self, text: String) -> Result<Value, E> {
        self.pay(text.len())?;
        Ok(Value::String(text))
    }

    fn plain<E: Error>(self, value: Value) -> Result<Value, E> {
        self.pay(0)?;
        Ok(value)
    }
}

impl<'de> DeserializeSeed<'de> for Bounded<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Bounded<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("any valid JSON value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.plain(Value::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.plain(Value::from(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.plain(Value::from(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.plain(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.text(value.to_owned())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Value, E> {
        self.text(value)
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.plain(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<Value, A::Error> {
        self.pay(0)?;
        let mut array = Vec::new();
        while let Some(value) = values.next_element_seed(self)? {
            array.push(value);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.pay(0)?;
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<Key>()? {
            self.pay(key.0.len())?;
            map.insert(key.0, entries.next_value_seed(self)?);
        }
        Ok(Value::Object(map))
    }
}

/// Any scalar is text where it is a key.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key(String);

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_has_no_alias_is_always_read() {
        for text in ["[]", "a: {b: [1, -2, 0.5, true, null, ~, x]}", "- - - - 1", "{a: b}", ""] {
            let read: Result<Value, _> = serde_norway::from_str(text);
            assert_eq!(from_yaml(text).ok(), read.ok(), "{text}");
        }
        let many = format!("[{}]", "1,".repeat(1_000_000));
        assert_eq!(from_yaml(&many).unwrap().as_array().unwrap().len(), 1_000_000);
        let keys: String = (0..100_000).map(|n| format!("{n}:\n")).collect();
        assert_eq!(from_yaml(&keys).unwrap().as_object().unwrap().len(), 100_000);
        let sets = "- {a,b,c,d,e,f}\n".repeat(50_000);
        assert_eq!(from_yaml(&sets).unwrap().as_array().unwrap().len(), 50_000);
    }

    #[test]
    fn a_few_aliases_repeat_what_they_name() {
        assert_eq!(from_yaml("a: &a [x]\nb: [*a, *a]").unwrap(), json!({"a": ["x"], "b": [["x"], ["x"]]}));
    }

    #[test]
    fn aliases_of_aliases_and_of_long_texts_are_refused() {
        let nested =
            "a: &a [x, x]\nb: &b [*a, *a]\n".to_owned() + &format!("c: &c [{}*b]\n", "*b, ".repeat(300));
        let again = nested + &format!("d: [{}*c]\n", "*c, ".repeat(9));
        let long = format!("a: &a {}\nb: [{}*a]\n", "x".repeat(100_000), "*a,".repeat(500));
        for text in [again, long] {
            assert!(from_yaml(&text).unwrap_err().to_string().contains("aliases"), "{}", text.len());
        }
    }
}
