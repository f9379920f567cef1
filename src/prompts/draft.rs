//! The text of a prompt before it has a version: the one shape that files and the API share.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::chat::Role;
use crate::types::Label;

/// A prompt's text, read and found right.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// What the prompt is for.
    pub description: String,
    /// The messages, in order.
    pub messages: Vec<Entry>,
    /// Other messages by provider kind or model; empty until a later release reads them.
    pub variants: BTreeMap<String, Vec<Entry>>,
    /// The variables' schemas by name, in order.
    pub variables: Map<String, Value>,
    /// Request fields used where the request sets none.
    pub settings: Map<String, Value>,
    /// Rendered at save.
    pub tests: Vec<TestCase>,
}

/// One entry of a prompt's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A message made from a template.
    Text {
        /// The author's role.
        role: Role,
        /// The template.
        content: String,
    },
    /// The messages of this variable go here.
    Placeholder(String),
}

/// A test that a version must pass to be saved.
#[derive(Clone, Debug, PartialEq)]
pub struct TestCase {
    /// What to render with.
    pub variables: Map<String, Value>,
    /// What the rendered messages must contain, each.
    pub contains: Vec<String>,
}

/// A draft with what goes along when it is saved as a version.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The text.
    pub draft: Draft,
    /// Why the version was made.
    pub message: String,
    /// Labels to move to the new version in the same transaction.
    pub labels: Vec<Label>,
    /// The version that the author began from: a newer one must not be lost. 0 says that there is no prompt yet.
    pub parent: Option<u32>,
}

impl From<Draft> for Submission {
    fn from(draft: Draft) -> Self {
        Self { draft, message: String::new(), labels: Vec::new(), parent: None }
    }
}

impl Draft {
    /// The draft as the API writes it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |key: &str, value: Value, empty: bool| {
            if !empty {
                fields.insert(key.to_owned(), value);
            }
        };
        put("description", json!(self.description), self.description.is_empty());
        put("messages", self.messages.iter().map(Entry::to_json).collect(), false);
        put("variables", json!(self.variables), self.variables.is_empty());
        put("settings", json!(self.settings), self.settings.is_empty());
        put("tests", self.tests.iter().map(TestCase::to_json).collect(), self.tests.is_empty());
        Value::Object(fields)
    }

    /// The draft's content as one line of JSON: what is stored and hashed.
    #[must_use]
    pub fn content(&self) -> String {
        self.to_json().to_string()
    }

    /// BLAKE3 of the content. Order counts: a JSON schema's order reaches the model.
    #[must_use]
    pub fn hash(&self) -> String {
        blake3::hash(self.content().as_bytes()).to_hex().to_string()
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        match self {
            Self::Text { role, content } => json!({"role": role, "content": content}),
            Self::Placeholder(name) => json!({"placeholder": name}),
        }
    }
}

impl TestCase {
    fn to_json(&self) -> Value {
        json!({"variables": self.variables, "contains": self.contains})
    }
}
