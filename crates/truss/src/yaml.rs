//! Values as YAML that every YAML reader reads back the same.
//!
//! The Truss server reads its configuration with a YAML 1.1 reader, for which `1:30`, `yes`, `2024-01-02` or `1e5` mean
//! something else than for a YAML 1.2 writer. JSON with quoted text and plain floats is read alike by both.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CharEscape, Formatter, PrettyFormatter, Serializer};

/// The value as YAML text that ends with a line break.
pub fn to_yaml(value: &Value) -> String {
    let mut bytes = Vec::new();
    let formatter = Portable(PrettyFormatter::new(), has_long_key(value));
    let mut serializer = Serializer::with_formatter(&mut bytes, formatter);
    // Writing a `Value` into memory can't fail: its keys are text and `Vec` takes every byte.
    let _ = value.serialize(&mut serializer);
    bytes.push(b'\n');
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A YAML reader takes a key of more than 1,024 characters only if it is announced. One character may take six, written.
const LONG_KEY: usize = 1_024 / 6;

fn has_long_key(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.iter().any(|(key, value)| key.len() > LONG_KEY || has_long_key(value)),
        Value::Array(values) => values.iter().any(has_long_key),
        _ => false,
    }
}

/// With whether keys are announced.
struct Portable(PrettyFormatter<'static>, bool);

impl Formatter for Portable {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        // `Display` of a float never uses an exponent, which YAML 1.1 would read as text.
        let text = value.to_string();
        writer.write_all(text.as_bytes())?;
        if text.contains('.') { Ok(()) } else { writer.write_all(b".0") }
    }

    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(is_unprintable) {
            writer.write_all(&rest.as_bytes()[..at])?;
            let mut chars = rest[at..].chars();
            if let Some(c) = chars.next() {
                write!(writer, "\\u{:04x}", u32::from(c))?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }
    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }
    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }
    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }
    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }
    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }
    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)?;
        if self.1 { writer.write_all(b"? ") } else { Ok(()) }
    }
    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }
    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

/// What YAML 1.1 doesn't allow as is inside text, or takes for a line break.
fn is_unprintable(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn text_that_looks_like_something_else_stays_text() {
        let yaml = to_yaml(&json!({"when": "1:30", "on": "yes", "small": 1e-7, "big": 1e300}));
        assert!(yaml.contains("\"when\": \"1:30\""), "{yaml}");
        assert!(yaml.contains("\"small\": 0.0000001"), "{yaml}");
        assert!(!yaml.contains("e300"), "{yaml}");
    }

    #[test]
    fn a_long_key_comes_back() {
        for length in [LONG_KEY, LONG_KEY + 1, 1_100, 5_000] {
            let value = json!({"a": [{"\u{7f}".repeat(length): {"b": 1}, "c": 2}], "d": "x"});
            let yaml = to_yaml(&value);
            assert_eq!(serde_norway::from_str::<Value>(&yaml).unwrap(), value, "{length}");
            assert_eq!(yaml.contains("? \"d\""), length > LONG_KEY, "only where it must be");
        }
    }

    #[test]
    fn unprintable_characters_are_escaped_and_come_back() {
        let value = json!({"text": "a\u{7f}b\u{85}c\u{2028}\"d\u{fffe}\n😀"});
        let yaml = to_yaml(&value);
        assert!(!yaml.contains('\u{7f}') && yaml.contains("\\u007f") && yaml.contains("\\ufffe"), "{yaml}");
        assert_eq!(serde_json::from_str::<Value>(&yaml).unwrap(), value);
        assert_eq!(serde_norway::from_str::<Value>(&yaml).unwrap(), value);
    }
}
