//! Writes a stream.

use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{Answer, Head, Status};
use super::custom;
use super::error::error_event;
use super::item::{Item, Kind, OpenPart, complete_logprob, or_empty};
use super::part_write::write_annotation;
use crate::chat::{Content, Delta, Event, Stop, Usage};
use crate::wire::dialect::{AnswerContext, WriteStream};
use crate::wire::exact_numbers;
use crate::wire::openai::input_of;

/// An event with the answer so far.
#[derive(Serialize)]
struct Stands<'a> {
    r#type: &'a str,
    response: &'a Answer<'a>,
    sequence_number: u64,
}

/// The most frequent event.
#[derive(Serialize)]
struct TextDelta<'a> {
    r#type: &'a str,
    item_id: &'a str,
    output_index: usize,
    content_index: usize,
    delta: &'a str,
    logprobs: &'a [Value],
    sequence_number: u64,
}

/// Appends an event.
fn put(kind: &str, data: &impl Serialize, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("event: {kind}\ndata: {}\n\n", exact_numbers::write(data)).as_bytes());
}

/// Writes a stream: one answer, as items one after the other.
///
/// An item ends only when the next item begins or the answer ends: by then it is known whether the item was cut off, and
/// late log-probabilities have come.
#[derive(Debug)]
pub(super) struct Writer {
    head: Head,
    /// The names of the request's custom tools.
    customs: Vec<String>,
    begun: bool,
    sequence: u64,
    /// The items that ended.
    output: Vec<Value>,
    open: Option<Item>,
    stop: Option<Stop>,
    usage: Option<Usage>,
    refused: bool,
    ended: bool,
    /// Whether only the whole answer is wanted, not the events.
    whole: bool,
}

impl Writer {
    /// A writer for this call.
    pub(super) fn new(context: &AnswerContext) -> Self {
        let head = Head::of(context);
        Self {
            customs: custom::names(head.tools()),
            head,
            begun: false,
            sequence: 0,
            output: Vec::new(),
            open: None,
            stop: None,
            usage: None,
            refused: false,
            ended: false,
            whole: false,
        }
    }

    /// Appends one event, with its place in the stream.
    fn put(&mut self, kind: &str, mut data: Value, out: &mut Vec<u8>) {
        if self.whole {
            return;
        }
        if let Value::Object(data) = &mut data {
            data.shift_insert(0, "type".to_owned(), kind.into());
            data.insert("sequence_number".to_owned(), self.sequence.into());
        }
        self.sequence += 1;
        put(kind, &data, out);
    }

    /// Appends an event with the answer so far.
    fn put_answer(&mut self, kind: &str, status: Status, out: &mut Vec<u8>) {
        if !self.whole {
            let response = &self.head.answer(&self.output, self.usage.as_ref(), status);
            put(kind, &Stands { r#type: kind, response, sequence_number: self.sequence }, out);
            self.sequence += 1;
        }
    }

    /// Appends one event of the open item.
    fn put_of_item(&mut self, kind: &str, mut data: Value, out: &mut Vec<u8>) {
        if let (Value::Object(data), Some(item)) = (&mut data, &self.open) {
            data.shift_insert(0, "item_id".to_owned(), item.id.as_str().into());
            data.shift_insert(1, "output_index".to_owned(), self.output.len().into());
        }
        self.put(kind, data, out);
    }

    /// The answer's status, and why it is incomplete where it is.
    fn status(&self) -> Status {
        match &self.stop {
            Some(Stop::Length | Stop::Context) => ("incomplete", Some("max_output_tokens")),
            Some(Stop::Filtered) => ("incomplete", Some("content_filter")),
            Some(Stop::Refused) if !self.refused => ("incomplete", Some("content_filter")),
            _ => ("completed", None),
        }
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.begun, true) {
            let status = ("in_progress", None);
            self.put_answer("response.created", status, out);
            self.put_answer("response.in_progress", status, out);
        }
    }

    fn open(&mut self, content: Content, out: &mut Vec<u8>) {
        match content {
            Content::Text { text, citations } => {
                self.open_text(false, out);
                self.grow(Delta::Text(text), out);
                citations.into_iter().for_each(|citation| self.grow(Delta::Citation(citation), out));
            }
            Content::Refusal(text) => {
                self.refused = true;
                self.open_text(true, out);
                self.grow(Delta::Text(text), out);
            }
            Content::Thinking(text) => {
                self.open_item("rs", Kind::Reasoning { text: Some(String::new()), proof: None }, out);
                let part = json!({"summary_index": 0, "part": {"type": "summary_text", "text": ""}});
                self.put_of_item("response.reasoning_summary_part.added", part, out);
                self.grow(Delta::Text(text), out);
            }
            Content::RedactedThinking(data) => {
                self.open_item("rs", Kind::Reasoning { text: None, proof: Some(data) }, out);
            }
            Content::ToolCall { id, name, arguments } if self.customs.contains(&name) => {
                self.open_item("ctc", Kind::Custom { call_id: id, name, arguments }, out);
            }
            Content::ToolCall { id, name, arguments } => {
                self.open_item("fc", Kind::Call { call_id: id, name, arguments: String::new() }, out);
                self.grow(Delta::Arguments(arguments), out);
            }
            // Models write no other parts.
            _ => {}
        }
    }

    fn open_item(&mut self, prefix: &str, kind: Kind, out: &mut Vec<u8>) {
        self.close_item("completed", out);
        let answer = self.head.id.strip_prefix("resp_").unwrap_or(&self.head.id);
        // OpenAI accepts ids of at most 64 characters in later requests.
        let skipped = answer.chars().count().saturating_sub(48);
        let answer: String = answer.chars().skip(skipped).collect();
        let item = Item { id: format!("{prefix}_{answer}_{}", self.output.len()), kind };
        let written = item.written("in_progress", true);
        let place = self.output.len();
        self.open = Some(item);
        self.put("response.output_item.added", json!({"output_index": place, "item": written}), out);
    }

    fn open_text(&mut self, refusal: bool, out: &mut Vec<u8>) {
        if !matches!(self.open, Some(Item { kind: Kind::Message { .. }, .. })) {
            self.open_item("msg", Kind::Message { content: Vec::new(), open: None }, out);
        }
        self.close_part(out);
        let fresh = OpenPart::new(refusal);
        let part = fresh.written();
        if let Some(Item { kind: Kind::Message { content, open }, .. }) = &mut self.open {
            let place = content.len();
            *open = Some(fresh);
            self.put_of_item("response.content_part.added", json!({"content_index": place, "part": part}), out);
        }
    }

    /// Adds to the open part.
    fn grow(&mut self, delta: Delta, out: &mut Vec<u8>) {
        let Some(item) = &mut self.open else { return };
        let (kind, data) = match (&mut item.kind, delta) {
            (Kind::Message { content, open: Some(part) }, Delta::Text(more)) if !more.is_empty() => {
                part.text.push_str(&more);
                if part.refusal {
                    ("response.refusal.delta", json!({"content_index": content.len(), "delta": more}))
                } else {
                    let kind = "response.output_text.delta";
                    let event = TextDelta {
                        r#type: kind,
                        item_id: &item.id,
                        output_index: self.output.len(),
                        content_index: content.len(),
                        delta: &more,
                        logprobs: &part.unsent(),
                        sequence_number: self.sequence,
                    };
                    if !self.whole {
                        put(kind, &event, out);
                        self.sequence += 1;
                    }
                    return;
                }
            }
            (Kind::Message { content, open: Some(part) }, Delta::Citation(citation)) => {
                let annotation = write_annotation(&citation, &part.text);
                let place = part.annotations.len();
                part.annotations.push(annotation.clone());
                let data = json!({"content_index": content.len(), "annotation_index": place, "annotation": annotation});
                ("response.output_text.annotation.added", data)
            }
            (Kind::Reasoning { text: Some(text), .. }, Delta::Text(more)) if !more.is_empty() => {
                text.push_str(&more);
                ("response.reasoning_summary_text.delta", json!({"summary_index": 0, "delta": more}))
            }
            (Kind::Reasoning { proof, .. }, Delta::Signature(more)) => {
                proof.get_or_insert_default().push_str(&more);
                return;
            }
            (Kind::Custom { arguments, .. }, Delta::Arguments(more)) => return arguments.push_str(&more),
            (Kind::Call { arguments, .. }, Delta::Arguments(more)) if !more.is_empty() => {
                arguments.push_str(&more);
                ("response.function_call_arguments.delta", json!({"delta": more}))
            }
            _ => return,
        };
        self.put_of_item(kind, data, out);
    }

    /// Ends the open part of the open message.
    fn close_part(&mut self, out: &mut Vec<u8>) {
        let Some(Item { kind: Kind::Message { content, open }, .. }) = &mut self.open else { return };
        let Some(mut ended) = open.take() else { return };
        let place = content.len();
        let part = ended.written();
        content.push(part.clone());
        if ended.refusal {
            let done = json!({"content_index": place, "refusal": ended.text});
            self.put_of_item("response.refusal.done", done, out);
        } else {
            let logprobs = ended.unsent();
            let done = json!({"content_index": place, "text": ended.text, "logprobs": logprobs});
            self.put_of_item("response.output_text.done", done, out);
        }
        self.put_of_item("response.content_part.done", json!({"content_index": place, "part": part}), out);
    }

    /// Ends the open item.
    fn close_item(&mut self, status: &str, out: &mut Vec<u8>) {
        self.close_part(out);
        match self.open.as_ref().map(|item| &item.kind) {
            Some(Kind::Reasoning { text: Some(text), .. }) => {
                let (text, part) =
                    (json!({"summary_index": 0, "text": text}), json!({"type": "summary_text", "text": text}));
                self.put_of_item("response.reasoning_summary_text.done", text, out);
                let part = json!({"summary_index": 0, "part": part});
                self.put_of_item("response.reasoning_summary_part.done", part, out);
            }
            Some(Kind::Custom { arguments, .. }) => {
                // The text is known when the arguments are whole.
                let input = input_of(arguments);
                if !input.is_empty() {
                    self.put_of_item("response.custom_tool_call_input.delta", json!({ "delta": input }), out);
                }
                self.put_of_item("response.custom_tool_call_input.done", json!({ "input": input }), out);
            }
            Some(Kind::Call { name, arguments, .. }) => {
                let done = json!({"name": name, "arguments": or_empty(arguments)});
                self.put_of_item("response.function_call_arguments.done", done, out);
            }
            _ => {}
        }
        if let Some(item) = self.open.take() {
            let written = item.written(status, false);
            let place = self.output.len();
            self.put("response.output_item.done", json!({"output_index": place, "item": written}), out);
            self.output.push(written);
        }
    }

    /// Adds log-probabilities to the open text, or to the last.
    fn log(&mut self, value: &Value) {
        let Some(list) = value.get("content").and_then(Value::as_array) else { return };
        let list = list.iter().map(complete_logprob);
        if let Some(Item { kind: Kind::Message { open: Some(part), .. }, .. }) = &mut self.open {
            part.logprobs.extend(list);
            return;
        }
        let parts = self.output.iter_mut().rev().filter_map(|item| item.get_mut("content")?.as_array_mut()?.last_mut());
        if let Some(part) = parts.into_iter().find(|part| part["type"] == "output_text")
            && let Some(part) = part.as_object_mut()
            && let Value::Array(before) = part.entry("logprobs").or_insert_with(|| json!([]))
        {
            before.extend(list);
        }
    }
}

impl Writer {
    /// A writer for the whole answer only, without the events.
    pub(super) fn of_whole(context: &AnswerContext) -> Self {
        Self { whole: true, ..Self::new(context) }
    }

    /// The answer so far.
    pub(super) fn answer(&self) -> Answer<'_> {
        self.head.answer(&self.output, self.usage.as_ref(), self.status())
    }
}

impl WriteStream for Writer {
    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match event {
            Event::Begin { id, model, created } => {
                if !id.is_empty() {
                    self.head.id = id;
                }
                if self.head.model.is_empty() {
                    self.head.model = model;
                }
                self.head.created = created.unwrap_or(self.head.created);
                self.begin(out);
            }
            Event::Failed(error) => {
                self.ended = true;
                out.extend_from_slice(&error_event(&error, self.sequence));
            }
            // A caller of this dialect asks for one answer.
            Event::Open { choice: 1.., .. }
            | Event::Delta { choice: 1.., .. }
            | Event::Logprobs { choice: 1.., .. }
            | Event::Finish { choice: 1.., .. }
            | Event::Close { .. } => {}
            Event::Open { content, .. } => {
                self.begin(out);
                self.open(content, out);
            }
            Event::Delta { delta, .. } => self.grow(delta, out),
            Event::Logprobs { value, .. } => self.log(&value),
            Event::Finish { stop, .. } => {
                self.begin(out);
                self.stop = Some(stop);
                self.close_item(self.status().0, out);
            }
            Event::Usage(usage) => self.usage = Some(usage),
            Event::End => {
                self.begin(out);
                self.close_item(self.status().0, out);
                self.ended = true;
                let status = self.status();
                self.put_answer(&format!("response.{}", status.0), status, out);
            }
        }
    }
}
