//! Who looks, and how to begin.

use domain::Role;
use serde::{Deserialize, Serialize};

/// Who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionInfo {
    pub name: String,
    /// Of a person; a key of the workspace has none.
    pub email: Option<String>,
    pub role: Role,
    /// The running version of Slipway.
    pub version: String,
}

/// How a person proves who they are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignIn {
    Password {
        email: String,
        password: String,
    },
    /// The one-time token of a sign-in link.
    Token(String),
    ApiKey(String),
}

/// How to push the first model to this server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstRun {
    /// This server's own address.
    pub address: String,
    /// In order: install, configure, push.
    pub commands: Vec<Command>,
    /// What would make the push fail on this machine, and the fix.
    pub warning: Option<String>,
}

/// A command to paste into a terminal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub title: String,
    pub text: String,
}

/// What an action did, as a sentence for the person who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    pub sentence: String,
}

impl Done {
    pub fn new(sentence: impl Into<String>) -> Self {
        Self { sentence: sentence.into() }
    }
}
