//! JSON that had the right form once.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Map, Value, json};

/// One act, at some place of the tree.
#[derive(Debug, Clone)]
enum Act {
    Replace(Value),
    Remove,
    Rename(String),
    Wrap,
    Double,
    /// Puts the value into itself, so many times.
    Nest(u8),
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(u64::MAX)),
        Just(json!(-1)),
        Just(json!(0)),
        Just(json!([])),
        Just(json!({})),
        Just(json!("x".repeat(5_000))),
        Just(json!("../../etc/passwd")),
        Just(json!("\u{0}\u{202e}\u{d7ff}")),
        ".{0,20}".prop_map(Value::from),
        vec(any::<i32>(), 0..5).prop_map(Value::from),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => leaf().prop_map(Act::Replace),
        2 => Just(Act::Remove),
        1 => ".{0,12}".prop_map(Act::Rename),
        1 => Just(Act::Wrap),
        1 => Just(Act::Double),
        1 => (1u8..100).prop_map(Act::Nest),
    ]
}

/// One of the seeds after up to four acts of mangling: other kinds of values, missing and unknown fields, deep nesting.
pub fn mangled_json(seeds: Vec<Value>) -> impl Strategy<Value = Value> {
    let seeds = Arc::new(seeds);
    (any::<Index>(), vec((any::<Index>(), act()), 0..=4)).prop_map(move |(seed, acts)| {
        let mut value = seeds[seed.index(seeds.len())].clone();
        for (place, act) in acts {
            let mut at = place.index(count(&value));
            apply(&mut value, &mut at, &act);
        }
        value
    })
}

/// Values in the tree, with itself.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Acts on the value that is the `at`-th of the tree; true once that is done.
fn apply(value: &mut Value, at: &mut usize, act: &Act) -> bool {
    if *at == 0 {
        match act {
            Act::Replace(other) => *value = other.clone(),
            Act::Remove | Act::Rename(_) => *value = Value::Null,
            Act::Wrap => *value = json!([value.take()]),
            Act::Double => *value = json!([value.clone(), value.clone()]),
            Act::Nest(depth) => {
                for _ in 0..*depth {
                    *value = json!({ "a": value.take() });
                }
            }
        }
        return true;
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| apply(item, at, act)),
        Value::Object(fields) => in_object(fields, at, act),
        _ => false,
    }
}

fn in_object(fields: &mut Map<String, Value>, at: &mut usize, act: &Act) -> bool {
    let names: Vec<String> = fields.keys().cloned().collect();
    for name in names {
        let whole = *at == 0;
        match act {
            Act::Remove if whole => {
                fields.remove(&name);
                return true;
            }
            Act::Rename(other) if whole => {
                let value = fields.remove(&name).unwrap_or_default();
                fields.insert(other.clone(), value);
                return true;
            }
            _ => {
                if fields.get_mut(&name).is_some_and(|value| apply(value, at, act)) {
                    return true;
                }
            }
        }
    }
    false
}
