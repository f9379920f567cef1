//! The wire formats: pure, bytes to meaning and back.

pub mod anthropic;
pub mod dialect;
pub mod gemini;
pub mod json;
pub mod openai_chat;
pub mod openai_embeddings;
pub mod openai_responses;
mod openai_strict;
pub mod sse;

use dialect::Dialect;

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
