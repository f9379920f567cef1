//! Parts of a conversation as Converse's blocks.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::citation;
use super::family::Family;
use super::idiom::not_here;
use crate::chat::{CacheTtl, Citation, Content, Emulated, Message, Part, Source};
use crate::wire::fields::{FieldError, Path, sent_arguments};
use crate::wire::tool_ids::{Ids, Rule};

/// What Converse takes as a tool call's id.
const ID: Rule = Rule { fits: |letter| letter.is_ascii_alphanumeric() || "_.:-".contains(letter), most: 64 };

/// Types of images, and their names there.
const IMAGES: [(&str, &str); 5] =
    [("image/png", "png"), ("image/jpeg", "jpeg"), ("image/jpg", "jpeg"), ("image/gif", "gif"), ("image/webp", "webp")];

/// Types of documents, and their names there.
const DOCUMENTS: [(&str, &str); 10] = [
    ("application/pdf", "pdf"),
    ("text/csv", "csv"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("text/html", "html"),
    ("text/plain", "txt"),
    ("text/markdown", "md"),
    ("text/x-markdown", "md"),
];

/// Formats of sound that Converse reads.
const SOUNDS: [&str; 8] = ["mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "webm"];

/// The longest name of a document.
const LONGEST_NAME: usize = 200;

/// The only addresses that Converse fetches files from.
const STORE: &str = "s3://";

/// A cache mark; nothing where the model has no cache, which is noted.
pub(super) fn cache_point(ttl: CacheTtl, family: Family, emulated: &mut Emulated) -> Option<Value> {
    if !family.has_cache() {
        emulated.note("cache_control");
        return None;
    }
    let is_hour = ttl == CacheTtl::Hour;
    if is_hour && matches!(family, Family::Nova | Family::Nova2) {
        // Nova caches for five minutes only.
        emulated.note("cache_control");
        return Some(json!({"cachePoint": {"type": "default"}}));
    }
    Some(match is_hour {
        true => json!({"cachePoint": {"type": "default", "ttl": "1h"}}),
        false => json!({"cachePoint": {"type": "default"}}),
    })
}

/// Writes blocks.
pub(super) struct Blocks<'a> {
    ids: Ids,
    family: Family,
    /// Names of documents, each of which may stand once.
    names: HashSet<String>,
    /// What was changed to fit.
    pub(super) emulated: &'a mut Emulated,
}

impl<'a> Blocks<'a> {
    pub(super) fn new(messages: &[Message], family: Family, emulated: &'a mut Emulated) -> Self {
        Self { ids: Ids::of(messages, ID, emulated), family, names: HashSet::new(), emulated }
    }

    /// Writes a part, and the cache mark behind it; nothing where the part is empty or has no form here.
    pub(super) fn part(&mut self, part: &Part, path: &Path<'_>) -> Result<Vec<Value>, FieldError> {
        let Some(block) = self.block(part, path)? else { return Ok(Vec::new()) };
        let is_thought = matches!(part.content, Content::Thinking(_) | Content::RedactedThinking(_));
        if part.signature.is_some() && !is_thought {
            self.emulated.note("thought_signature");
        }
        let mark = part.cache.and_then(|ttl| cache_point(ttl, self.family, self.emulated));
        Ok([Some(block), mark].into_iter().flatten().collect())
    }

    fn block(&mut self, part: &Part, path: &Path<'_>) -> Result<Option<Value>, FieldError> {
        Ok(Some(match &part.content {
            Content::Text { text, .. } | Content::Refusal(text) if text.trim().is_empty() => return Ok(None),
            Content::Text { text, citations } => self.text(text, citations),
            Content::Refusal(text) => {
                self.emulated.note("refusal");
                json!({"text": text})
            }
            Content::Image { source, detail } => {
                if detail.is_some() {
                    self.emulated.note("image_url.detail");
                }
                image(source, path)?
            }
            Content::Document { source, name, cite } => self.document(source, name.as_deref(), *cite, path)?,
            Content::Audio { data, format } => {
                if !SOUNDS.contains(&format.as_str()) {
                    return Err(not_here(path, "it does not read sound of this format"));
                }
                json!({"audio": {"format": format, "source": {"bytes": data}}})
            }
            Content::Thinking(thought) => match &part.signature {
                Some(signature) => {
                    json!({"reasoningContent": {"reasoningText": {"text": thought, "signature": signature}}})
                }
                // Converse refuses thoughts without a signature, and another provider's have none.
                None => {
                    self.emulated.note("thinking");
                    return Ok(None);
                }
            },
            Content::RedactedThinking(data) => json!({"reasoningContent": {"redactedContent": data}}),
            Content::ToolCall { id, name, arguments: text } => {
                let input = sent_arguments(text, self.emulated);
                json!({"toolUse": {"toolUseId": self.ids.of_id(id), "name": name, "input": input}})
            }
            Content::ToolResult { id, parts, is_error, .. } => self.result(id, parts, *is_error, path)?,
        }))
    }

    fn text(&mut self, text: &str, citations: &[Citation]) -> Value {
        let cited: Vec<Value> = citations.iter().filter_map(citation::write).collect();
        // What a search of another provider found cannot be cited there.
        if cited.len() < citations.len() {
            self.emulated.note("citations");
        }
        if cited.is_empty() {
            return json!({"text": text});
        }
        json!({"citationsContent": {"content": [{"text": text}], "citations": cited}})
    }

    fn document(
        &mut self,
        source: &Source,
        name: Option<&str>,
        cite: bool,
        path: &Path<'_>,
    ) -> Result<Value, FieldError> {
        let (format, source) = match source {
            Source::Text(text) => ("txt", json!({"bytes": STANDARD.encode(text)})),
            Source::Base64 { media_type, data } => {
                let bare = media_type.split(';').next().unwrap_or_default().trim();
                let Some((_, format)) = DOCUMENTS.iter().find(|(kind, _)| *kind == bare) else {
                    return Err(not_here(path, "it does not read documents of this type"));
                };
                (*format, json!({"bytes": data}))
            }
            Source::Url(url) if url.starts_with(STORE) => {
                let end = url.rsplit('.').next().unwrap_or_default();
                let Some((_, format)) = DOCUMENTS.iter().find(|(_, format)| *format == end) else {
                    return Err(not_here(path, "the address does not tell the document's type"));
                };
                (*format, json!({"s3Location": {"uri": url}}))
            }
            Source::Url(_) => return Err(not_here(path, "it fetches documents from S3 only")),
            Source::File(_) => return Err(not_here(path, "it keeps no uploaded files")),
        };
        let mut document = Map::new();
        document.insert("format".to_owned(), format.into());
        document.insert("name".to_owned(), self.named(name).into());
        document.insert("source".to_owned(), source);
        if cite {
            document.insert("citations".to_owned(), json!({"enabled": true}));
        }
        Ok(json!({"document": document}))
    }

    /// A document's name, which Converse requires: of certain letters, and different from every other document's.
    fn named(&mut self, name: Option<&str>) -> String {
        let asked = name.unwrap_or("document");
        let letters = asked.chars().map(|letter| match letter {
            letter if letter.is_ascii_alphanumeric() || "-()[]".contains(letter) => letter,
            _ => ' ',
        });
        let plain: String = letters.collect();
        let mut stem = plain.split_whitespace().collect::<Vec<_>>().join(" ");
        stem.truncate(LONGEST_NAME - 8);
        if stem.is_empty() {
            stem.push_str("document");
        }
        let mut fresh = stem.clone();
        for n in 2.. {
            if self.names.insert(fresh.clone()) {
                break;
            }
            fresh = format!("{stem} {n}");
        }
        if name.is_some_and(|name| name != fresh) {
            self.emulated.note("document_name");
        }
        fresh
    }

    fn result(&mut self, id: &str, parts: &[Part], is_error: bool, path: &Path<'_>) -> Result<Value, FieldError> {
        let mut content = Vec::with_capacity(parts.len());
        for (n, part) in parts.iter().enumerate() {
            let inner = path.item("content", n);
            let bare = Part { cache: None, ..Part::new(part.content.clone()) };
            if part.cache.is_some() {
                self.emulated.note("cache_control");
            }
            match &part.content {
                Content::Text { text, .. } => {
                    let block = (!text.trim().is_empty()).then(|| json!({"text": text}));
                    content.extend(block);
                }
                Content::Image { .. } | Content::Document { .. } => content.extend(self.part(&bare, &inner)?),
                _ => return Err(not_here(inner, "a tool's result there has texts, images and documents only")),
            }
        }
        let mut result = json!({"toolUseId": self.ids.of_id(id), "content": content});
        match is_error {
            true if self.family.takes_failures() => result["status"] = "error".into(),
            true => self.emulated.note("is_error"),
            false => {}
        }
        Ok(json!({"toolResult": result}))
    }
}

fn image(source: &Source, path: &Path<'_>) -> Result<Value, FieldError> {
    let named = |found: Option<&(&str, &'static str)>| {
        found
            .map(|(_, format)| *format)
            .ok_or_else(|| not_here(path, "it reads images of the types PNG, JPEG, GIF and WebP"))
    };
    let (format, source) = match source {
        Source::Base64 { media_type, data } => {
            (named(IMAGES.iter().find(|(kind, _)| kind == media_type))?, json!({"bytes": data}))
        }
        Source::Url(url) if url.starts_with(STORE) => {
            let end = url.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
            (
                named(IMAGES.iter().find(|(kind, _)| kind.strip_prefix("image/") == Some(&end)))?,
                json!({"s3Location": {"uri": url}}),
            )
        }
        Source::Url(_) => return Err(not_here(path, "it fetches images from S3 only; send the image's bytes")),
        Source::File(_) => return Err(not_here(path, "it keeps no uploaded files")),
        Source::Text(_) => return Err(not_here(path, "an image there is no text")),
    };
    Ok(json!({"image": {"format": format, "source": source}}))
}
