//! Roles in APIs that have only users, assistants and text of the system, and which parts a message of each may have.

use super::fields::FieldError;
use crate::chat::{Content, Role};

/// The role that stands for another in such an API: developers are the system, and tools are users.
pub(super) fn plain(role: Role) -> Role {
    match role {
        Role::System | Role::Developer => Role::System,
        Role::User | Role::Tool => Role::User,
        Role::Assistant => Role::Assistant,
    }
}

/// Whether a message of this plain role may have such a part.
pub(super) fn may_have(role: Role, content: &Content) -> bool {
    match content {
        Content::Text { .. } => true,
        Content::Image { .. } | Content::Document { .. } | Content::ToolResult { .. } | Content::Audio { .. } => {
            role == Role::User
        }
        Content::Refusal(_) | Content::Thinking(_) | Content::RedactedThinking(_) | Content::ToolCall { .. } => {
            role == Role::Assistant
        }
    }
}

/// The mistake of a conversation that has only text of the system.
pub(super) fn no_message() -> FieldError {
    FieldError::wrong("messages", "must hold a message that is not empty, besides those of the system")
}
