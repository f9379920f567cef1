//! Messages: who said what.

use serde::{Deserialize, Serialize};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the roles' names say all")]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// One message of a rendered prompt or of a caller's list.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Text by one speaker.
    Text {
        /// Who speaks.
        role: Role,
        /// What is said.
        content: String,
    },
    /// A caller's message, kept as the JSON it came as: its parts may be images, tool calls or tool results.
    Raw(serde_json::Value),
}
