//! Messages as a provider of this dialect gets them.

use serde_json::{Map, Value, json};

use super::idiom::inexpressible;
use super::thoughts_write::{Thoughts, write_signature};
use crate::chat::{Content, Emulated, Message, Part, Role, Source};
use crate::wire::fields::{FieldError, Path};
use crate::wire::openai::is_foreign;

/// The messages written so far. One message of the internal form may become several: each tool result is a message of its own.
#[derive(Default)]
pub(super) struct Messages {
    written: Vec<Value>,
    /// Images and files of tool results, which a result's message cannot hold: they go to the user's message after them.
    shown: Vec<Value>,
}

impl Messages {
    /// Writes one message.
    pub(super) fn add(
        &mut self,
        message: &Message,
        path: &Path<'_>,
        emulated: &mut Emulated,
    ) -> Result<(), FieldError> {
        note_lost(&message.parts, emulated);
        let written = match message.role {
            Role::Assistant => write_assistant(message, path, emulated)?,
            Role::System => plain("system", (message, path), emulated)?,
            Role::Developer => plain("developer", (message, path), emulated)?,
            Role::User | Role::Tool => return self.add_user(message, path, emulated),
        };
        self.show();
        self.written.push(named(written, message));
        Ok(())
    }

    /// All messages, when the last was written.
    pub(super) fn finish(mut self) -> Vec<Value> {
        self.show();
        self.written
    }

    /// Images and files of tool results, as a message of the user.
    fn show(&mut self) {
        if !self.shown.is_empty() {
            let content = std::mem::take(&mut self.shown);
            self.written.push(json!({"role": "user", "content": content}));
        }
    }

    fn add_user(&mut self, message: &Message, path: &Path<'_>, emulated: &mut Emulated) -> Result<(), FieldError> {
        for (n, part) in message.parts.iter().enumerate() {
            let Content::ToolResult { id, parts, .. } = &part.content else { continue };
            self.add_result(id, parts, (&path.item("content", n), emulated))?;
        }
        let is_result = |part: &Part| matches!(part.content, Content::ToolResult { .. });
        if message.parts.is_empty() || !message.parts.iter().all(is_result) {
            self.show();
            let content = write_parts(&message.parts, Allowed::Everything, path, emulated)?;
            let written = [("role".to_owned(), "user".into()), ("content".to_owned(), content)];
            self.written.push(named(Map::from_iter(written), message));
        }
        Ok(())
    }

    /// One result: its text. Its images and files wait for the next message of the user.
    fn add_result(
        &mut self,
        id: &str,
        parts: &[Part],
        (path, emulated): (&Path<'_>, &mut Emulated),
    ) -> Result<(), FieldError> {
        let is_shown = |part: &&Part| match &part.content {
            Content::Document { source, .. } => !matches!(source, Source::Text(_)),
            content => matches!(content, Content::Image { .. } | Content::Audio { .. }),
        };
        let (shown, texts): (Vec<&Part>, Vec<&Part>) = parts.iter().partition(is_shown);
        let content = write_parts(texts, Allowed::Text, path, emulated)?;
        if !shown.is_empty() {
            emulated.note("tool_result");
            self.shown.push(json!({"type": "text", "text": format!("From the result of the tool call {id}:")}));
        }
        for part in shown {
            let place = parts.iter().position(|other| std::ptr::eq(other, part)).unwrap_or_default();
            let path = path.item("content", place);
            self.shown.extend(write_part(&part.content, Allowed::Everything, &path, emulated)?);
        }
        self.written.push(json!({"role": "tool", "tool_call_id": id, "content": content}));
        Ok(())
    }
}

/// Marks and proofs that providers of this dialect do not know.
fn note_lost(parts: &[Part], emulated: &mut Emulated) {
    for part in parts {
        let has_place =
            matches!(part.content, Content::Thinking(_) | Content::RedactedThinking(_) | Content::ToolCall { .. });
        if part.cache.is_some() {
            emulated.note("cache_control");
        }
        if part.signature.is_some() && !has_place {
            emulated.note("signature");
        }
        match &part.content {
            Content::Text { citations, .. } if !citations.is_empty() => emulated.note("citations"),
            Content::ToolResult { parts, is_error, .. } => {
                if *is_error {
                    emulated.note("is_error");
                }
                note_lost(parts, emulated);
            }
            _ => {}
        }
    }
}

fn plain(
    role: &str,
    (message, path): (&Message, &Path<'_>),
    emulated: &mut Emulated,
) -> Result<Map<String, Value>, FieldError> {
    let content = write_parts(&message.parts, Allowed::Text, path, emulated)?;
    Ok(Map::from_iter([("role".to_owned(), role.into()), ("content".to_owned(), content)]))
}

fn named(mut written: Map<String, Value>, message: &Message) -> Value {
    if let Some(name) = &message.name {
        written.insert("name".to_owned(), name.clone().into());
    }
    Value::Object(written)
}

fn write_assistant(
    message: &Message,
    path: &Path<'_>,
    emulated: &mut Emulated,
) -> Result<Map<String, Value>, FieldError> {
    let mut refusal = String::new();
    let (mut calls, mut thoughts) = (Vec::new(), Thoughts::default());
    for part in &message.parts {
        match &part.content {
            Content::Refusal(text) => refusal.push_str(text),
            Content::Thinking(_) | Content::RedactedThinking(_) => {
                let is_lost = !thoughts.take(part);
                if is_lost {
                    emulated.note("thinking");
                }
            }
            Content::ToolCall { id, name, arguments } => {
                let mut call = write_call(id, name, arguments);
                if let Some(signature) = &part.signature {
                    call["extra_content"] = write_signature(signature);
                }
                calls.push(call);
            }
            _ => {}
        }
    }
    let mut content = write_parts(&message.parts, Allowed::Answer, path, emulated)?;
    if content == "" && (!calls.is_empty() || !refusal.is_empty()) {
        content = Value::Null;
    }
    let content = thoughts.before(content);
    let mut written = Map::from_iter([("role".to_owned(), "assistant".into()), ("content".to_owned(), content)]);
    if !refusal.is_empty() {
        written.insert("refusal".to_owned(), refusal.into());
    }
    written.extend(thoughts.finish());
    if !calls.is_empty() {
        written.insert("tool_calls".to_owned(), calls.into());
    }
    Ok(written)
}

/// One call of a tool. Empty arguments are an empty object.
pub(super) fn write_call(id: &str, name: &str, arguments: &str) -> Value {
    let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
    json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
}

/// What may stand in a message's content.
#[derive(Clone, Copy, PartialEq)]
enum Allowed {
    /// Text.
    Text,
    /// Text; other parts of an answer stand in other fields.
    Answer,
    /// Text, images, documents and sound; tool results stand in messages of their own.
    Everything,
}

/// A message's content: one text where possible, which every server reads, or else a list of parts.
fn write_parts<'a>(
    parts: impl IntoIterator<Item = &'a Part>,
    allowed: Allowed,
    path: &Path<'_>,
    emulated: &mut Emulated,
) -> Result<Value, FieldError> {
    let mut written = Vec::new();
    for (n, part) in parts.into_iter().enumerate() {
        written.extend(write_part(&part.content, allowed, &path.item("content", n), emulated)?);
    }
    Ok(match &mut written[..] {
        [] => "".into(),
        [only] if only["type"] == "text" => only["text"].take(),
        _ => written.into(),
    })
}

fn write_part(
    content: &Content,
    allowed: Allowed,
    path: &Path<'_>,
    emulated: &mut Emulated,
) -> Result<Option<Value>, FieldError> {
    let written = match (content, allowed) {
        (Content::Text { text, .. }, _) => json!({"type": "text", "text": text}),
        (Content::Document { cite: true, .. }, _) => {
            return Err(inexpressible(path.field("citations"), "an answer cannot be asked to cite a document"));
        }
        (Content::Document { source: Source::Text(text), name, .. }, Allowed::Text | Allowed::Everything) => {
            if name.is_some() {
                emulated.note("document.title");
            }
            json!({"type": "text", "text": text})
        }
        (Content::ToolResult { .. }, Allowed::Everything)
        | (
            Content::Refusal(_) | Content::Thinking(_) | Content::RedactedThinking(_) | Content::ToolCall { .. },
            Allowed::Answer,
        ) => return Ok(None),
        (Content::Image { source, detail }, Allowed::Everything) => write_image(source, detail.as_deref(), path)?,
        (Content::Document { source, name, .. }, Allowed::Everything) => write_file(source, name.as_deref(), path)?,
        (Content::Audio { data, format }, Allowed::Everything) => {
            json!({"type": "input_audio", "input_audio": {"data": data, "format": format}})
        }
        (content, _) => {
            let text = format!("{} may not stand in a message of this role", kind(content));
            return Err(inexpressible(path, text));
        }
    };
    Ok(Some(written))
}

fn kind(content: &Content) -> &'static str {
    match content {
        Content::Text { .. } => "text",
        Content::Refusal(_) => "a refusal",
        Content::Image { .. } => "an image",
        Content::Document { .. } => "a document",
        Content::Audio { .. } => "sound",
        Content::Thinking(_) | Content::RedactedThinking(_) => "a thought",
        Content::ToolCall { .. } => "a tool call",
        Content::ToolResult { .. } => "a tool result",
    }
}

/// An image's part, in a request or an answer.
pub(super) fn write_image(source: &Source, detail: Option<&str>, path: &Path<'_>) -> Result<Value, FieldError> {
    let url = match source {
        Source::Base64 { media_type, data } => format!("data:{media_type};base64,{data}"),
        Source::Url(url) => url.clone(),
        Source::File(_) => return Err(inexpressible(path.field("source"), "an image must be here or at an address")),
        Source::Text(_) => return Err(inexpressible(path.field("source"), "an image is no text")),
    };
    let mut image = json!({ "url": url });
    if let Some(detail) = detail {
        image["detail"] = detail.into();
    }
    Ok(json!({"type": "image_url", "image_url": image}))
}

fn write_file(source: &Source, name: Option<&str>, path: &Path<'_>) -> Result<Value, FieldError> {
    let mut file = Map::new();
    match source {
        Source::Base64 { media_type, data } => {
            // OpenAI refuses a file without a name.
            file.insert("filename".to_owned(), name.unwrap_or("document").into());
            file.insert("file_data".to_owned(), format!("data:{media_type};base64,{data}").into());
        }
        Source::File(id) if is_foreign(id) => {
            return Err(inexpressible(path.field("source"), "it is a file of another provider; send it as data"));
        }
        Source::File(id) => {
            file.insert("file_id".to_owned(), id.clone().into());
            name.and_then(|name| file.insert("filename".to_owned(), name.into()));
        }
        Source::Url(_) => {
            return Err(inexpressible(path.field("source"), "a document must be here or uploaded, not at an address"));
        }
        Source::Text(_) => return Err(inexpressible(path.field("source"), "a document here is no text")),
    }
    Ok(json!({"type": "file", "file": file}))
}
