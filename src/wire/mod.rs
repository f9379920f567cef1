//! The wire formats: pure, bytes to meaning and back.

pub mod anthropic;
pub mod asked;
pub mod bad_stream;
pub mod bedrock;
mod capabilities;
mod claude_schema;
mod claude_thinking;
mod counted;
pub mod decoder;
pub mod dialect;
pub mod endpoint;
mod escaped;
pub mod event_pattern;
pub mod exact_numbers;
pub mod fields;
pub mod filtered;
pub mod form;
pub mod frames;
pub mod gemini;
pub mod gone;
mod hashed;
pub mod json;
pub mod merged_embeddings;
pub mod openai;
pub mod openai_chat;
pub mod openai_embeddings;
pub mod openai_responses;
pub mod passing;
pub mod prompt;
mod roles;
pub mod schema;
mod settings;
pub mod sse;
pub mod stream_error;
pub mod token_estimate;
pub mod too_long;
mod tool_ids;
pub mod written;

use dialect::{ClientCodec, ProviderCodec};

/// The dialects, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say all")]
pub enum DialectId {
    #[default]
    OpenAiChat,
    OpenAiResponses,
    Anthropic,
    Gemini,
}

/// All dialects, in the order of [`DialectId`].
pub static DIALECTS: [&dyn ClientCodec; 4] =
    [&openai_chat::OpenAiChat, &openai_responses::OpenAiResponses, &anthropic::Anthropic, &gemini::Gemini];

impl DialectId {
    /// The dialect of this name.
    #[must_use]
    pub fn codec(self) -> &'static dyn ClientCodec {
        DIALECTS[self as usize]
    }
}

/// The dialect of a provider: one that callers have too, or one that no caller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProviderDialect {
    /// A dialect of callers.
    Client(DialectId),
    /// Amazon Bedrock's Converse.
    Bedrock,
}

impl ProviderDialect {
    /// The API of this name.
    #[must_use]
    pub fn codec(self) -> &'static dyn ProviderCodec {
        match self {
            Self::Client(dialect) => dialect.codec(),
            Self::Bedrock => &bedrock::Bedrock,
        }
    }
}

impl From<DialectId> for ProviderDialect {
    fn from(dialect: DialectId) -> Self {
        Self::Client(dialect)
    }
}
