//! Parts of a conversation, written as blocks.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::citation;
use super::idiom::not_here;
use crate::chat::{CacheTtl, Citation, Content, Emulated, Message, Part, Role, Source};
use crate::wire::fields::{FieldError, Path, sent_arguments};
use crate::wire::roles;
use crate::wire::tool_ids::{Ids, Rule, fitting};

/// Image types that Anthropic reads.
const IMAGES: [&str; 4] = ["image/jpeg", "image/png", "image/gif", "image/webp"];

/// What Anthropic takes as a tool call's id.
const ID: Rule = Rule { fits: fitting, most: usize::MAX };

/// A cache mark.
pub(super) fn cache_mark(ttl: CacheTtl) -> Value {
    match ttl {
        CacheTtl::FiveMinutes => json!({"type": "ephemeral"}),
        CacheTtl::Hour => json!({"type": "ephemeral", "ttl": "1h"}),
    }
}

/// Writes blocks.
pub(super) struct Blocks<'a> {
    ids: Ids,
    pub(super) emulated: &'a mut Emulated,
    /// Whether a block names an uploaded file.
    pub(super) files: bool,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(messages: &[Message], emulated: &'a mut Emulated) -> Self {
        Self { ids: Ids::of(messages, ID, emulated), emulated, files: false }
    }

    pub(super) fn message(&mut self, message: &Message, role: Role, n: usize) -> Result<Vec<Value>, FieldError> {
        let outer = Path::of_item("messages", n);
        let mut blocks = Vec::with_capacity(message.parts.len());
        for (place, part) in message.parts.iter().enumerate() {
            let path = outer.item("content", place);
            if !roles::may_have(role, &part.content) {
                return Err(not_here(path, "its role cannot say such a part there"));
            }
            blocks.extend(self.part(part, &path)?);
        }
        Ok(blocks)
    }

    /// Writes a part; `None` where the part is empty or has no form here.
    fn part(&mut self, part: &Part, path: &Path<'_>) -> Result<Option<Value>, FieldError> {
        let block = match &part.content {
            Content::Text { text, .. } | Content::Refusal(text) if text.trim().is_empty() => return Ok(None),
            Content::Text { text, citations } => self.text(text, citations),
            Content::Refusal(text) => {
                self.emulated.note("refusal");
                json!({"type": "text", "text": text})
            }
            Content::Image { source, detail } => {
                if detail.as_deref().is_some_and(|detail| detail != "auto") {
                    self.emulated.note("image_url.detail");
                }
                json!({"type": "image", "source": self.image(source, path)?})
            }
            Content::Document { source, name, cite } => self.document(source, name.as_deref(), *cite, path)?,
            Content::Audio { .. } => return Err(not_here(path, "it reads no sound")),
            Content::Thinking(thought) => match &part.signature {
                Some(signature) => {
                    return Ok(Some(json!({"type": "thinking", "thinking": thought, "signature": signature})));
                }
                // Anthropic refuses thoughts without its own signature, and another provider's have none.
                None => {
                    self.emulated.note("thinking");
                    return Ok(None);
                }
            },
            Content::RedactedThinking(data) => return Ok(Some(json!({"type": "redacted_thinking", "data": data}))),
            Content::ToolCall { id, name, arguments: text } => {
                let input = sent_arguments(text, self.emulated);
                json!({"type": "tool_use", "id": self.ids.of_id(id), "name": name, "input": input})
            }
            Content::ToolResult { id, parts, is_error, .. } => self.result(id, parts, *is_error, path)?,
        };
        if part.signature.is_some() {
            self.emulated.note("thought_signature");
        }
        Ok(Some(marked(block, part.cache)))
    }

    fn text(&mut self, text: &str, citations: &[Citation]) -> Value {
        let cited: Vec<Value> = citations.iter().filter_map(citation::of_document).collect();
        // Anthropic takes a citation of a search only with its own signature, which another provider's lacks.
        if cited.len() < citations.len() {
            self.emulated.note("citations");
        }
        if cited.is_empty() {
            json!({"type": "text", "text": text})
        } else {
            json!({"type": "text", "text": text, "citations": cited})
        }
    }

    fn image(&mut self, source: &Source, path: &Path<'_>) -> Result<Value, FieldError> {
        match source {
            Source::Base64 { media_type, .. } if !IMAGES.contains(&media_type.as_str()) => {
                Err(not_here(path, "it reads images of the types JPEG, PNG, GIF and WebP"))
            }
            Source::Text(_) => Err(not_here(path, "an image there is no text")),
            _ => self.source(source, path),
        }
    }

    fn document(
        &mut self,
        source: &Source,
        name: Option<&str>,
        cite: bool,
        path: &Path<'_>,
    ) -> Result<Value, FieldError> {
        let source = match source {
            Source::Base64 { media_type, data } if media_type.starts_with("text/") => {
                let text = plain_text(data).ok_or_else(|| FieldError::wrong(path, "must be UTF-8 text in base64"))?;
                self.source(&Source::Text(text), path)?
            }
            Source::Base64 { media_type, .. } if media_type != "application/pdf" => {
                return Err(not_here(path, "it reads documents of PDF and of plain text"));
            }
            _ => self.source(source, path)?,
        };
        let mut block = json!({"type": "document", "source": source});
        if let Some(name) = name {
            block["title"] = name.into();
        }
        if cite {
            block["citations"] = json!({"enabled": true});
        }
        Ok(block)
    }

    fn source(&mut self, source: &Source, path: &Path<'_>) -> Result<Value, FieldError> {
        Ok(match source {
            Source::Base64 { media_type, data } => json!({"type": "base64", "media_type": media_type, "data": data}),
            Source::Url(url) => json!({"type": "url", "url": url}),
            Source::Text(text) => json!({"type": "text", "media_type": "text/plain", "data": text}),
            Source::File(id) if !id.starts_with("file_") => {
                return Err(not_here(path, "it is a file of another provider; send it as data"));
            }
            Source::File(id) => {
                self.files = true;
                json!({"type": "file", "file_id": id})
            }
        })
    }

    fn result(&mut self, id: &str, parts: &[Part], is_error: bool, path: &Path<'_>) -> Result<Value, FieldError> {
        let mut blocks = Vec::with_capacity(parts.len());
        for (n, part) in parts.iter().enumerate() {
            let inner = path.item("content", n);
            match part.content {
                Content::Text { .. } | Content::Image { .. } | Content::Document { .. } => {}
                _ => return Err(not_here(inner, "a tool's result there has texts, images and documents only")),
            }
            blocks.extend(self.part(part, &inner)?);
        }
        let mut block = Map::new();
        block.insert("type".to_owned(), "tool_result".into());
        block.insert("tool_use_id".to_owned(), self.ids.of_id(id).into());
        if !blocks.is_empty() {
            block.insert("content".to_owned(), content(blocks));
        }
        if is_error {
            block.insert("is_error".to_owned(), true.into());
        }
        Ok(block.into())
    }
}

fn marked(mut block: Value, cache: Option<CacheTtl>) -> Value {
    if let Some(ttl) = cache {
        block["cache_control"] = cache_mark(ttl);
    }
    block
}

/// Blocks as a `content`: a text where they are no more than that.
pub(super) fn content(mut blocks: Vec<Value>) -> Value {
    match &mut blocks[..] {
        [Value::Object(only)] if only.len() == 2 && only.get("type") == Some(&json!("text")) => {
            only.get_mut("text").map(Value::take).unwrap_or_default()
        }
        _ => blocks.into(),
    }
}

/// Base64 of plain text, as text.
fn plain_text(data: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(data).ok()?).ok()
}
