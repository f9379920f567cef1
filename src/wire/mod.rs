//! The wire formats: pure, bytes to meaning and back.

pub mod anthropic;
pub mod bedrock;
pub mod blobs;
mod claude;
pub mod decoder;
pub mod dialect;
pub mod form;
pub mod frames;
pub mod gemini;
mod ids;
pub mod json;
pub mod openai_chat;
pub mod openai_embeddings;
pub mod openai_responses;
mod openai_strict;
pub mod passing;
pub mod schema;
pub mod sse;

use dialect::{Dialect, Upstream};

/// The dialects, by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Speaks {
    #[default]
    OpenAiChat,
    OpenAiResponses,
    Anthropic,
    Gemini,
}

/// All dialects, in the order of [`Speaks`].
pub static DIALECTS: [&dyn Dialect; 4] =
    [&openai_chat::OpenAiChat, &openai_responses::OpenAiResponses, &anthropic::Anthropic, &gemini::Gemini];

impl Speaks {
    /// The dialect of this name.
    #[must_use]
    pub fn dialect(self) -> &'static dyn Dialect {
        DIALECTS[self as usize]
    }
}

/// What a provider speaks: a dialect that callers have too, or one that no caller has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Spoken {
    /// A dialect of callers.
    Dialect(Speaks),
    /// Amazon Bedrock's Converse.
    Bedrock,
}

impl Spoken {
    /// The API of this name.
    #[must_use]
    pub fn upstream(self) -> &'static dyn Upstream {
        match self {
            Self::Dialect(speaks) => speaks.dialect(),
            Self::Bedrock => &bedrock::Bedrock,
        }
    }
}

impl From<Speaks> for Spoken {
    fn from(speaks: Speaks) -> Self {
        Self::Dialect(speaks)
    }
}
