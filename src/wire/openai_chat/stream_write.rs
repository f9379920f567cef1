//! A stream for a caller of this dialect.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::answer_write::{chars, first_of, write_citation, write_redacted, write_thought};
use super::custom;
use super::error::error_event;
use super::messages_write::write_image;
use super::stop::write_stop;
use super::thoughts_write::write_signature;
use super::usage::write_usage;
use crate::chat::{Citation, Content, Delta, Event, Stop, Usage, without_place};
use crate::wire::dialect::{AnswerContext, WriteStream};
use crate::wire::exact_numbers;
use crate::wire::fields::Path;
use crate::wire::openai::{DONE, put_event};

/// Writes a stream: chunks of one id and time, then `[DONE]`.
pub(super) struct Writer {
    context: AnswerContext,
    /// The names of the request's custom tools.
    customs: Vec<String>,
    choices: BTreeMap<u32, Writing>,
    usage: Option<Usage>,
    /// Whether a call's beginning may wait.
    has_head: bool,
    ended: bool,
}

#[derive(Serialize)]
struct Chunk<'a, C> {
    id: &'a str,
    object: &'a str,
    created: i64,
    model: &'a str,
    choices: &'a C,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
}

#[derive(Serialize)]
struct Choice<'a, D> {
    index: u32,
    delta: &'a D,
    logprobs: (),
    finish_reason: (),
}

/// The delta of most chunks.
#[derive(Serialize)]
struct TextDelta<'a> {
    content: &'a str,
}

/// What was written of a choice.
#[derive(Default)]
struct Writing {
    open: Open,
    chars: u64,
    calls: usize,
    details: usize,
    refused: bool,
}

/// The open part.
#[derive(Default)]
enum Open {
    #[default]
    None,
    /// Text that began at this character, and its citations, which are written when the text ends.
    Text {
        start: u64,
        citations: Vec<Citation>,
    },
    Refusal,
    /// A thought, whose text is written again with its proof when the thought ends.
    Thinking {
        text: String,
        signature: Option<String>,
    },
    /// Data that came whole, and its proof.
    Redacted {
        data: String,
        signature: Option<String>,
    },
    /// A call, by its place among the calls; with its beginning until that is written.
    Call {
        index: usize,
        head: Option<Head>,
        has_arguments: bool,
        signature: Option<String>,
    },
    /// A call of a custom tool, whose text is known when the arguments are whole.
    Custom {
        index: usize,
        id: String,
        name: String,
        arguments: String,
        signature: Option<String>,
    },
}

/// The beginning of a call. It waits for what comes with it, because a proof belongs into the same fragment.
struct Head {
    id: String,
    name: String,
    arguments: String,
}

impl Writer {
    pub(super) fn new(context: &AnswerContext) -> Self {
        let customs = custom::names(context);
        Self { context: context.clone(), customs, choices: BTreeMap::new(), usage: None, has_head: false, ended: false }
    }

    fn put_delta(&self, choice: u32, delta: &impl Serialize, out: &mut Vec<u8>) {
        let choices = [Choice { index: choice, delta, logprobs: (), finish_reason: () }];
        self.put_chunk(&choices, None, out);
    }

    fn put_chunk(&self, choices: &impl Serialize, usage: Option<&Usage>, out: &mut Vec<u8>) {
        let chunk = Chunk {
            id: &self.context.id,
            object: "chat.completion.chunk",
            created: self.context.created,
            model: &self.context.model,
            choices,
            usage: self.context.include_usage.then(|| usage.map_or(Value::Null, write_usage)),
        };
        put_event(exact_numbers::write(&chunk).as_bytes(), out);
    }

    /// The choice, after its first chunk, which has the role.
    fn begun(&mut self, choice: u32, is_call: bool, out: &mut Vec<u8>) -> &mut Writing {
        if !self.choices.contains_key(&choice) {
            let content = if is_call { Value::Null } else { "".into() };
            self.put_delta(choice, &json!({"role": "assistant", "content": content, "refusal": null}), out);
        }
        self.choices.entry(choice).or_default()
    }

    fn open(&mut self, choice: u32, content: Content, out: &mut Vec<u8>) {
        let is_call = matches!(content, Content::ToolCall { .. });
        let is_custom = matches!(&content, Content::ToolCall { name, .. } if self.customs.contains(name));
        self.has_head |= is_call && !is_custom;
        let writing = self.begun(choice, is_call, out);
        let mut first = None;
        writing.open = match content {
            Content::Text { text, citations } => {
                let start = writing.chars;
                writing.chars += chars(&text);
                first = (!text.is_empty()).then(|| json!({ "content": text }));
                Open::Text { start, citations }
            }
            Content::Refusal(text) => {
                writing.refused = true;
                first = (!text.is_empty()).then(|| json!({ "refusal": text }));
                Open::Refusal
            }
            Content::Thinking(text) => {
                first = (!text.is_empty()).then(|| json!({ "reasoning_content": text }));
                Open::Thinking { text, signature: None }
            }
            Content::RedactedThinking(data) => Open::Redacted { data, signature: None },
            Content::ToolCall { id, name, arguments } if is_custom => {
                writing.calls += 1;
                Open::Custom { index: writing.calls - 1, id, name, arguments, signature: None }
            }
            Content::ToolCall { id, name, arguments } => {
                writing.calls += 1;
                let has_arguments = !arguments.is_empty();
                let head = Some(Head { id, name, arguments });
                Open::Call { index: writing.calls - 1, head, has_arguments, signature: None }
            }
            Content::Image { source, detail } => {
                let image = write_image(&source, detail.as_deref(), &Path::ROOT).ok();
                first = image.map(|image| json!({ "images": [image] }));
                Open::None
            }
            Content::Document { .. } | Content::Audio { .. } | Content::ToolResult { .. } => Open::None,
        };
        if let Some(first) = first {
            self.put_delta(choice, &first, out);
        }
    }

    /// Writes the beginning of a choice's open call, where that waits.
    fn begin_call(&mut self, choice: u32, out: &mut Vec<u8>) {
        let open = self.choices.get_mut(&choice).map(|writing| &mut writing.open);
        let Some(Open::Call { index, head, signature, .. }) = open else { return };
        let Some(Head { id, name, arguments }) = head.take() else { return };
        let function = json!({"name": name, "arguments": arguments});
        let mut call = json!({"index": index, "id": id, "type": "function", "function": function});
        if let Some(signature) = signature.take() {
            call["extra_content"] = write_signature(&signature);
        }
        self.put_delta(choice, &json!({ "tool_calls": [call] }), out);
    }

    fn grow(&mut self, choice: u32, delta: Delta, out: &mut Vec<u8>) {
        if self.has_head && matches!(delta, Delta::Arguments(_)) {
            self.begin_call(choice, out);
        }
        let Some(writing) = self.choices.get_mut(&choice) else { return };
        let delta = match (&mut writing.open, delta) {
            (Open::Text { .. }, Delta::Text(more)) => {
                writing.chars += chars(&more);
                return self.put_delta(choice, &TextDelta { content: &more }, out);
            }
            (Open::Text { citations, .. }, Delta::Citation(citation)) => return citations.push(citation),
            (Open::Refusal, Delta::Text(more)) => json!({ "refusal": more }),
            (Open::Thinking { text, .. }, Delta::Text(more)) => {
                text.push_str(&more);
                json!({ "reasoning_content": more })
            }
            (Open::Call { index, has_arguments, .. }, Delta::Arguments(more)) => {
                *has_arguments |= !more.is_empty();
                json!({"tool_calls": [{"index": index, "function": {"arguments": more}}]})
            }
            (Open::Custom { arguments, .. }, Delta::Arguments(more)) => return arguments.push_str(&more),
            (
                Open::Thinking { signature, .. }
                | Open::Redacted { signature, .. }
                | Open::Call { signature, .. }
                | Open::Custom { signature, .. },
                Delta::Signature(more),
            ) => return signature.get_or_insert_default().push_str(&more),
            _ => return,
        };
        self.put_delta(choice, &delta, out);
    }

    fn close(&mut self, choice: u32, out: &mut Vec<u8>) {
        self.begin_call(choice, out);
        let Some(writing) = self.choices.get_mut(&choice) else { return };
        let last = match std::mem::take(&mut writing.open) {
            Open::Text { start, citations } => {
                let place = (start, writing.chars);
                let cited: Vec<Value> = citations.iter().filter_map(|cited| write_citation(cited, place)).collect();
                (!cited.is_empty()).then(|| json!({ "annotations": cited }))
            }
            Open::Thinking { text, signature } => {
                let proof = signature.as_deref().map(without_place).filter(|proof| !proof.is_empty());
                proof.map(|proof| {
                    writing.details += 1;
                    json!({"reasoning_details": [write_thought(&text, Some(proof), writing.details - 1)]})
                })
            }
            Open::Redacted { data, signature } => {
                writing.details += 1;
                Some(
                    json!({"reasoning_details": [write_redacted(without_place(&data), signature.as_deref(), writing.details - 1)]}),
                )
            }
            Open::Call { index, has_arguments, signature, .. } => {
                close_call(index, has_arguments, signature.as_deref())
            }
            Open::Custom { index, id, name, arguments, signature } => {
                let mut call = custom::write_call(&id, &name, &arguments);
                call["index"] = index.into();
                if let Some(signature) = &signature {
                    call["extra_content"] = write_signature(signature);
                }
                Some(json!({ "tool_calls": [call] }))
            }
            Open::None | Open::Refusal => None,
        };
        if let Some(last) = last {
            self.put_delta(choice, &last, out);
        }
    }

    fn finish(&mut self, choice: u32, stop: &Stop, out: &mut Vec<u8>) {
        let writing = self.begun(choice, false, out);
        let reason = write_stop(stop, writing.refused);
        let last = json!([{"index": choice, "delta": {}, "logprobs": null, "finish_reason": reason}]);
        self.put_chunk(&last, None, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(usage) = self.usage.filter(|_| self.context.include_usage) {
            self.put_chunk(&json!([]), Some(&usage), out);
        }
        put_event(DONE, out);
    }
}

impl WriteStream for Writer {
    fn flush(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.has_head) {
            let choices: Vec<u32> = self.choices.keys().copied().collect();
            choices.into_iter().for_each(|choice| self.begin_call(choice, out));
        }
    }

    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match event {
            Event::Begin { id, model, created } => {
                self.context.id = first_of(&id, &self.context.id).to_owned();
                self.context.model = first_of(&self.context.model, &model).to_owned();
                self.context.created = created.unwrap_or(self.context.created);
            }
            Event::Open { choice, content, .. } => self.open(choice, content, out),
            Event::Delta { choice, delta, .. } => self.grow(choice, delta, out),
            Event::Close { choice, .. } => self.close(choice, out),
            Event::Logprobs { choice, value } => {
                self.begun(choice, false, out);
                let logged = json!([{"index": choice, "delta": {}, "logprobs": value, "finish_reason": null}]);
                self.put_chunk(&logged, None, out);
            }
            Event::Finish { choice, stop } => self.finish(choice, &stop, out),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::End => {
                self.ended = true;
                self.end(out);
            }
            Event::Failed(error) => {
                self.ended = true;
                out.extend_from_slice(&error_event(&error));
            }
        }
    }
}

/// The last fragment of a call, where one is needed: an empty object for arguments that never came, and the proof.
fn close_call(index: usize, has_arguments: bool, signature: Option<&str>) -> Option<Value> {
    // Clients read `function` in every fragment.
    let arguments = if has_arguments { "" } else { "{}" };
    let mut call = json!({"index": index, "function": {"arguments": arguments}});
    if let Some(signature) = signature {
        call["extra_content"] = write_signature(signature);
    }
    (!has_arguments || signature.is_some()).then(|| json!({ "tool_calls": [call] }))
}
