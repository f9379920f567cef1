//! A stream, written for a caller event by event.

use serde::Serialize;
use serde_json::{Value, json};

use super::answer_write::{call_id, estimated, no_object, write_stop};
use super::citation;
use super::error::error_event;
use super::usage::write_usage;
use crate::chat::{Code, Content, Delta, Error, Event, Stop, Usage};
use crate::wire::dialect::{AnswerContext, BadAnswer, WriteStream};
use crate::wire::exact_numbers;
use crate::wire::fields;

/// The event of which most of a stream is.
const DELTA: &str = "content_block_delta";

#[derive(Serialize)]
struct BlockDelta<'a> {
    r#type: &'a str,
    index: usize,
    delta: TextDelta<'a>,
}

#[derive(Serialize)]
struct TextDelta<'a> {
    r#type: &'a str,
    text: &'a str,
}

/// A writer of one stream.
pub(super) struct Writer {
    context: AnswerContext,
    begun: bool,
    ended: bool,
    /// The next block's number: parts without a block have none.
    index: usize,
    open: Open,
    has_calls: bool,
    /// Whether a call's arguments are no JSON object.
    bad_call: bool,
    bytes: usize,
    stop: Option<Stop>,
    usage: Option<Usage>,
}

/// The open block.
enum Open {
    /// There is none.
    Nothing,
    /// A text that is still empty. Its block begins with its first words, since callers may not send an empty block back.
    Silent,
    /// A text's block.
    Text,
    /// A block of thought.
    Thinking,
    /// A call's block, with its arguments so far.
    Call(String),
    /// A block that came whole.
    Whole,
}

impl Writer {
    pub(super) fn new(context: &AnswerContext) -> Self {
        Self {
            context: context.clone(),
            begun: false,
            ended: false,
            index: 0,
            open: Open::Nothing,
            has_calls: false,
            bad_call: false,
            bytes: 0,
            stop: None,
            usage: None,
        }
    }
}

impl WriteStream for Writer {
    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match event {
            Event::Begin { id, model, .. } => self.begin(&id, &model, out),
            Event::Usage(usage) => self.usage = Some(usage),
            Event::Failed(error) => self.fail(&error, out),
            Event::Open { choice: 0, content, .. } => self.open(content, out),
            Event::Delta { choice: 0, delta, .. } => self.delta(delta, out),
            Event::Close { choice: 0, .. } => self.close(out),
            Event::Finish { choice: 0, stop } => self.stop = Some(stop),
            Event::End => self.end(out),
            // Further choices cannot be asked for here, nor log-probabilities.
            Event::Open { .. }
            | Event::Delta { .. }
            | Event::Close { .. }
            | Event::Finish { .. }
            | Event::Logprobs { .. } => {}
        }
    }

    /// The limit may cut a call off; any other call that cannot be read is the provider's fault.
    fn fault(&self) -> Option<BadAnswer> {
        let is_open_bad = matches!(&self.open, Open::Call(arguments) if fields::arguments(arguments).is_none());
        let is_cut = matches!(self.stop, Some(Stop::Length | Stop::Context));
        (!is_cut && (self.bad_call || is_open_bad)).then(no_object)
    }
}

impl Writer {
    fn begin(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let id = if id.is_empty() { &self.context.id } else { id };
        let model = if self.context.model.is_empty() { model } else { &self.context.model };
        let mut usage = write_usage(&self.usage.unwrap_or_else(|| estimated(&self.context, 0)));
        usage.insert("output_tokens".to_owned(), 1.into());
        let message = json!({
            "id": id, "type": "message", "role": "assistant", "model": model, "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage,
        });
        put(out, "message_start", &json!({"type": "message_start", "message": message}));
    }

    fn open(&mut self, content: Content, out: &mut Vec<u8>) {
        self.begin("", "", out);
        self.close(out);
        match content {
            Content::Text { text, .. } | Content::Refusal(text) => {
                self.open = Open::Silent;
                self.delta(Delta::Text(text), out);
            }
            Content::Thinking(thought) => {
                self.open = Open::Thinking;
                self.put_start(&json!({"type": "thinking", "thinking": "", "signature": ""}), out);
                self.delta(Delta::Text(thought), out);
            }
            Content::RedactedThinking(data) => {
                self.open = Open::Whole;
                self.put_start(&json!({"type": "redacted_thinking", "data": data}), out);
            }
            Content::ToolCall { id, name, arguments } => {
                self.open = Open::Call(String::new());
                self.has_calls = true;
                let id = call_id(&id, self.index);
                self.put_start(&json!({"type": "tool_use", "id": id, "name": name, "input": {}}), out);
                self.delta(Delta::Arguments(arguments), out);
            }
            // An answer of this dialect has no block for them.
            Content::Image { .. } | Content::Document { .. } | Content::Audio { .. } | Content::ToolResult { .. } => {}
        }
    }

    fn delta(&mut self, delta: Delta, out: &mut Vec<u8>) {
        let has_content = match &delta {
            Delta::Text(text) | Delta::Arguments(text) | Delta::Signature(text) => !text.is_empty(),
            Delta::Citation(_) => true,
        };
        if !has_content {
            return;
        }
        if matches!((&self.open, &delta), (Open::Silent, Delta::Text(_) | Delta::Citation(_))) {
            self.open = Open::Text;
            self.put_start(&json!({"type": "text", "text": ""}), out);
        }
        let written = match (&mut self.open, delta) {
            (Open::Text, Delta::Text(text)) => {
                self.bytes += text.len();
                let delta = TextDelta { r#type: "text_delta", text: &text };
                return put(out, DELTA, &BlockDelta { r#type: DELTA, index: self.index, delta });
            }
            (Open::Text, Delta::Citation(citation)) => match citation::write(&citation) {
                Some(citation) => json!({"type": "citations_delta", "citation": citation}),
                None => return,
            },
            (Open::Thinking, Delta::Text(text)) => {
                self.bytes += text.len();
                json!({"type": "thinking_delta", "thinking": text})
            }
            (Open::Thinking, Delta::Signature(text)) => json!({"type": "signature_delta", "signature": text}),
            (Open::Call(arguments), Delta::Arguments(text)) => {
                self.bytes += text.len();
                arguments.push_str(&text);
                json!({"type": "input_json_delta", "partial_json": text})
            }
            _ => return,
        };
        put(out, DELTA, &json!({"type": DELTA, "index": self.index, "delta": written}));
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing | Open::Silent => return,
            Open::Call(arguments) => self.bad_call |= fields::arguments(&arguments).is_none(),
            Open::Text | Open::Thinking | Open::Whole => {}
        }
        put(out, "content_block_stop", &json!({"type": "content_block_stop", "index": self.index}));
        self.index += 1;
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.begin("", "", out);
        self.close(out);
        if let Some(BadAnswer(reason)) = self.fault() {
            self.fail(&Error::new(Code::UpstreamProtocol, reason), out);
            return;
        }
        let stop = self.stop.take().unwrap_or(Stop::End);
        self.ended = true;
        let (reason, sequence) = write_stop(&stop, self.has_calls);
        let usage = write_usage(&self.usage.unwrap_or_else(|| estimated(&self.context, self.bytes)));
        let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
        put(out, "message_delta", &json!({"type": "message_delta", "delta": delta, "usage": usage}));
        put(out, "message_stop", &json!({"type": "message_stop"}));
    }

    fn fail(&mut self, error: &Error, out: &mut Vec<u8>) {
        self.ended = true;
        out.extend_from_slice(&error_event(error));
    }

    fn put_start(&self, block: &Value, out: &mut Vec<u8>) {
        let event = json!({"type": "content_block_start", "index": self.index, "content_block": block});
        put(out, "content_block_start", &event);
    }
}

/// Writes an event of this name.
pub(super) fn put(out: &mut Vec<u8>, name: &str, data: &impl Serialize) {
    out.extend_from_slice(format!("event: {name}\ndata: {}\n\n", exact_numbers::write(data)).as_bytes());
}
