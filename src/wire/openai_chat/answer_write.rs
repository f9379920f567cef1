//! A whole answer for a caller of this dialect.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::custom;
use super::messages_write::{write_call, write_image};
use super::stop::write_stop;
use super::thoughts_write::write_signature;
use super::usage::write_usage;
use crate::chat::{Choice, Citation, Content, Part, Response, Stop, Unit, without_place};
use crate::wire::dialect::AnswerContext;
use crate::wire::exact_numbers;
use crate::wire::fields::Path;
use crate::wire::openai::is_tier;

/// Writes the answer.
pub(super) fn write_response(response: &Response, context: &AnswerContext) -> Bytes {
    let customs = custom::names(context);
    let choices = response.choices.iter().enumerate();
    let choices: Vec<Value> = choices.map(|(n, choice)| write_choice(n, choice, &customs)).collect();
    let mut answer = json!({
        "id": first_of(&response.id, &context.id),
        "object": "chat.completion",
        "created": response.created.unwrap_or(context.created),
        "model": first_of(&context.model, &response.model),
        "choices": choices,
    });
    if let Some(usage) = &response.usage {
        answer["usage"] = write_usage(usage);
    }
    if let Some(tier) = response.service_tier.as_deref().filter(|tier| is_tier(tier)) {
        answer["service_tier"] = tier.into();
    }
    exact_numbers::write(&answer).into()
}

pub(super) fn first_of<'a>(first: &'a str, second: &'a str) -> &'a str {
    if first.is_empty() { second } else { first }
}

fn write_choice(index: usize, choice: &Choice, customs: &[String]) -> Value {
    let mut message = Message::default();
    choice.parts.iter().for_each(|part| message.take(part, customs));
    let refused = !message.refusal.is_empty();
    let reason = write_stop(choice.stop.as_ref().unwrap_or(&Stop::End), refused);
    json!({"index": index, "message": message.write(), "logprobs": choice.logprobs, "finish_reason": reason})
}

/// An answer's parts, sorted into the fields of a message.
#[derive(Default)]
struct Message {
    content: String,
    chars: u64,
    has_text: bool,
    refusal: String,
    thought: String,
    details: Vec<Value>,
    is_proven: bool,
    annotations: Vec<Value>,
    images: Vec<Value>,
    calls: Vec<Value>,
}

impl Message {
    fn take(&mut self, part: &Part, customs: &[String]) {
        match &part.content {
            Content::Text { text, citations } => {
                let start = self.chars;
                self.chars += chars(text);
                self.content.push_str(text);
                self.has_text = true;
                let place = (start, self.chars);
                self.annotations.extend(citations.iter().filter_map(|citation| write_citation(citation, place)));
            }
            Content::Refusal(text) => self.refusal.push_str(text),
            Content::Thinking(text) => {
                self.thought.push_str(text);
                let proof = part.signature.as_deref().map(without_place).filter(|proof| !proof.is_empty());
                self.is_proven |= proof.is_some();
                self.details.push(write_thought(text, proof, self.details.len()));
            }
            Content::RedactedThinking(data) => {
                self.is_proven = true;
                self.details.push(write_redacted(without_place(data), part.signature.as_deref(), self.details.len()));
            }
            Content::Image { source, detail } => {
                self.images.extend(write_image(source, detail.as_deref(), &Path::ROOT).ok());
            }
            Content::ToolCall { id, name, arguments } => {
                let mut call = match customs.contains(name) {
                    true => custom::write_call(id, name, arguments),
                    false => write_call(id, name, arguments),
                };
                if let Some(signature) = &part.signature {
                    call["extra_content"] = write_signature(signature);
                }
                self.calls.push(call);
            }
            // No provider answers with these.
            Content::Document { .. } | Content::Audio { .. } | Content::ToolResult { .. } => {}
        }
    }

    fn write(self) -> Map<String, Value> {
        let says_else = !self.calls.is_empty() || !self.refusal.is_empty();
        let content = if self.has_text || !says_else { self.content.into() } else { Value::Null };
        let refusal = if self.refusal.is_empty() { Value::Null } else { self.refusal.into() };
        let mut message = Map::from_iter([
            ("role".to_owned(), "assistant".into()),
            ("content".to_owned(), content),
            ("refusal".to_owned(), refusal),
        ]);
        if !self.thought.is_empty() {
            message.insert("reasoning_content".to_owned(), self.thought.into());
        }
        // Without a proof the list would only repeat the text.
        let details = if self.is_proven { self.details } else { Vec::new() };
        for (name, list) in [
            ("reasoning_details", details),
            ("annotations", self.annotations),
            ("images", self.images),
            ("tool_calls", self.calls),
        ] {
            if !list.is_empty() {
                message.insert(name.to_owned(), list.into());
            }
        }
        message
    }
}

pub(super) fn chars(text: &str) -> u64 {
    u64::try_from(text.chars().count()).unwrap_or(u64::MAX)
}

/// One thought with its proof, in OpenRouter's form.
pub(super) fn write_thought(text: &str, signature: Option<&str>, index: usize) -> Value {
    json!({"type": "reasoning.text", "text": text, "signature": signature, "index": index})
}

/// One thought that only its provider reads, in OpenRouter's form.
pub(super) fn write_redacted(data: &str, signature: Option<&str>, index: usize) -> Value {
    let mut detail = json!({"type": "reasoning.encrypted", "data": data, "index": index});
    if let Some(signature) = signature {
        detail["signature"] = signature.into();
    }
    detail
}

/// A citation of a page; `place` is the part of the content that the citing text is. Other citations have no form here.
pub(super) fn write_citation(citation: &Citation, (start, end): (u64, u64)) -> Option<Value> {
    let url = citation.url.as_ref()?;
    let within = |place: Option<u64>| place.filter(|_| citation.unit == Some(Unit::Answer));
    let from = within(citation.start).map_or(start, |place| start.saturating_add(place));
    let to = within(citation.end).map_or(end, |place| start.saturating_add(place));
    let title = citation.title.as_deref().unwrap_or_default();
    let cited = json!({"url": url, "title": title, "start_index": from, "end_index": to});
    Some(json!({"type": "url_citation", "url_citation": cited}))
}
