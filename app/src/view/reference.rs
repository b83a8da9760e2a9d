//! The management API, for reading.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferencePage {
    pub version: String,
    pub about: String,
    pub groups: Vec<ReferenceGroup>,
    /// What bodies and answers consist of.
    pub shapes: Vec<ReferenceShape>,
}

/// Routes about the same thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceGroup {
    /// Where it is on the page.
    pub anchor: String,
    pub name: String,
    pub about: String,
    pub routes: Vec<ReferenceRoute>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceRoute {
    pub anchor: String,
    pub method: String,
    pub path: String,
    pub summary: String,
    pub says: String,
    pub needs_key: bool,
    /// Of the path and of the query.
    pub parameters: Vec<ReferenceField>,
    pub body: Option<ReferenceKind>,
    /// Nothing where it never succeeds.
    pub answer: Option<ReferenceKind>,
    /// Other statuses, with what each means.
    pub failures: Vec<(String, String)>,
}

/// A shape, or a choice of words, under its name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceShape {
    pub anchor: String,
    pub name: String,
    pub says: String,
    /// The words to choose from; empty for a shape with fields.
    pub words: Vec<String>,
    pub fields: Vec<ReferenceField>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceField {
    pub name: String,
    pub kind: ReferenceKind,
    pub required: bool,
    pub says: String,
    /// Range, length and default, as a phrase; empty without any.
    pub limits: String,
}

/// What a value is, with where its shape is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReferenceKind {
    pub text: String,
    /// The anchor of its shape; empty if it has none of its own.
    pub anchor: String,
}
