use serde::{Deserialize, Serialize};

/// Why a value was refused: which field, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Invalid {
    /// The field's public name, as the person typed or sent it.
    pub field: String,
    /// What was wrong and what is allowed, as a sentence without the field's name.
    pub problem: String,
}

impl Invalid {
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}
