//! Messages: a speaker and the parts of a turn.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The role of a message's author. In the internal form `Tool` does not occur: a tool's result is a part of a user's message.
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

/// One message of a rendered prompt. It is written as OpenAI's chat has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PromptMessage {
    /// Text by one speaker.
    Text {
        /// The author's role.
        role: Role,
        /// The text.
        content: String,
    },
    /// A caller's message in the JSON of its dialect, which may have images, tool calls and tool results.
    Raw(Value),
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The author's role: `System`, `Developer`, `User` or `Assistant`.
    pub role: Role,
    /// The parts, in order. All results of a turn's tool calls stand in one user message, first in it.
    pub parts: Vec<Part>,
    /// The speaker's name, where the message has one.
    pub name: Option<String>,
}

impl Message {
    /// A message of nothing but text.
    #[must_use]
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, parts: vec![Part::text(text)], name: None }
    }

    /// The text of all its text parts, joined.
    #[must_use]
    pub fn joined_text(&self) -> String {
        self.parts.iter().filter_map(Part::as_text).collect()
    }
}

/// One part of a message or of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The part's content.
    pub content: Content,
    /// Whether the provider is asked to cache the prompt up to this part.
    pub cache: Option<CacheTtl>,
    /// A provider's proof of its own reasoning, which the provider expects back with the part: Anthropic's `signature`, Gemini's
    /// `thoughtSignature`, OpenAI's `encrypted_content`. Opaque.
    pub signature: Option<String>,
}

impl Part {
    /// A part of this content alone.
    #[must_use]
    pub fn new(content: Content) -> Self {
        Self { content, cache: None, signature: None }
    }

    /// A part of text without citations.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Content::Text { text: text.into(), citations: Vec::new() })
    }

    /// The part's text, where its content is text.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match &self.content {
            Content::Text { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// What a part is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Text; in an answer with its citations.
    Text {
        /// The text.
        text: String,
        /// The citations, in order.
        citations: Vec<Citation>,
    },
    /// The model's own words for not answering.
    Refusal(String),
    /// An image.
    Image {
        /// Where its bytes are.
        source: Source,
        /// How closely to look: `low`, `high`, `auto`.
        detail: Option<String>,
    },
    /// A document, such as a PDF.
    Document {
        /// Where its bytes are.
        source: Source,
        /// The document's file name or title.
        name: Option<String>,
        /// Whether the answer should cite it.
        cite: bool,
    },
    /// Sound.
    Audio {
        /// Base64.
        data: String,
        /// `wav`, `mp3`, ….
        format: String,
    },
    /// What the model thought. Its proof is the part's `signature`.
    Thinking(String),
    /// What the model thought, in a form that only its provider reads.
    RedactedThinking(String),
    /// A call of a tool.
    ToolCall {
        /// Ties the call to its result. Made up from the place where the dialect has none.
        id: String,
        /// The tool.
        name: String,
        /// A JSON object as text, as the model wrote it. Empty means `{}`.
        arguments: String,
    },
    /// The result of a tool call.
    ToolResult {
        /// The call's id.
        id: String,
        /// The tool's name, where it is known.
        name: Option<String>,
        /// The result: texts, images and documents.
        parts: Vec<Part>,
        /// Whether the tool failed.
        is_error: bool,
    },
}

/// Where the bytes of an image or a document are. Fulcrum never fetches any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// In the message.
    Base64 {
        /// Such as `image/png` or `application/pdf`.
        media_type: String,
        /// Base64.
        data: String,
    },
    /// At an address that the provider fetches.
    Url(String),
    /// Uploaded to the provider before, under this id.
    File(String),
    /// Plain text in the message.
    Text(String),
}

/// A source that a text cites.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Citation {
    /// A page's address, for a source on the web.
    pub url: Option<String>,
    /// A page's or document's title.
    pub title: Option<String>,
    /// The words cited.
    pub quoted: Option<String>,
    /// Which document of the request, from 0.
    pub document: Option<u64>,
    /// Where the cited words begin in the document: a character, a page or a block, by `unit`.
    pub start: Option<u64>,
    /// Where they end, exclusive.
    pub end: Option<u64>,
    /// What `start` and `end` count.
    pub unit: Option<Unit>,
}

/// What a citation's place counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Characters of the document.
    Char,
    /// Pages, from 1.
    Page,
    /// Blocks of the document.
    Block,
    /// Characters of the answer's own text.
    Answer,
}

/// How long a provider caches a prefix of the prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheTtl {
    /// Five minutes, renewed at each use.
    FiveMinutes,
    /// An hour.
    Hour,
}
