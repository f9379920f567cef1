//! A stream, written for a caller chunk by chunk.

use serde::Serialize;
use serde_json::{Value, json};

use super::answer_write::{Ending, Head};
use super::error::error_event;
use super::usage::write_usage;
use crate::chat::{Content, Delta, Event, Part};
use crate::wire::dialect::{AnswerContext, WriteStream};
use crate::wire::exact_numbers;

/// The chunk of which most of a stream is.
#[derive(Serialize)]
struct Chunk<'a> {
    candidates: [Candidate<'a>; 1],
    #[serde(rename = "usageMetadata", skip_serializing_if = "Option::is_none")]
    usage: Option<Value>,
    #[serde(rename = "modelVersion")]
    model: &'a str,
    #[serde(rename = "responseId")]
    id: &'a str,
}

#[derive(Serialize)]
struct Candidate<'a> {
    content: Turn<'a>,
    index: u32,
}

#[derive(Serialize)]
struct Turn<'a> {
    parts: [Text<'a>; 1],
    role: &'a str,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

/// Writes a stream: text as it comes, calls whole, and the reasons last, in one chunk with the usage.
#[derive(Debug)]
pub(super) struct Writer {
    head: Head,
    choices: Vec<Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    /// The open part, so far as it was not sent.
    open: Option<Part>,
    ending: Ending,
}

impl Writer {
    /// A writer for this call.
    pub(super) fn new(context: &AnswerContext) -> Self {
        Self { head: Head::new(context), choices: Vec::new() }
    }

    fn choice(&mut self, choice: u32) -> &mut Choice {
        // A request asks for at most 128.
        let place = usize::try_from(choice.min(127)).unwrap_or(0);
        if self.choices.len() <= place {
            self.choices.resize_with(place + 1, Choice::default);
        }
        &mut self.choices[place]
    }

    fn send(&self, candidates: &[Value], out: &mut Vec<u8>) {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(exact_numbers::write(&self.head.answer(candidates)).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }

    fn send_text(&self, choice: u32, text: &str, out: &mut Vec<u8>) {
        let chunk = Chunk {
            candidates: [Candidate { content: Turn { parts: [Text { text }], role: "model" }, index: choice }],
            usage: self.head.usage.as_ref().map(write_usage),
            model: &self.head.model,
            id: &self.head.id,
        };
        out.extend_from_slice(format!("data: {}\r\n\r\n", exact_numbers::write(&chunk)).as_bytes());
    }

    fn send_part(&self, choice: u32, part: &Value, out: &mut Vec<u8>) {
        self.send(&[json!({"content": {"parts": [part], "role": "model"}, "index": choice})], out);
    }

    fn delta(&mut self, choice: u32, delta: Delta, out: &mut Vec<u8>) {
        let Choice { open: Some(part), ending } = self.choice(choice) else { return };
        match (&mut part.content, delta) {
            (Content::ToolCall { arguments, .. }, Delta::Arguments(more)) => arguments.push_str(&more),
            (Content::Text { .. }, Delta::Citation(citation)) => ending.citations.push(citation),
            (Content::Text { .. } | Content::Refusal(_), Delta::Text(text)) => self.send_text(choice, &text, out),
            (Content::Thinking(_), Delta::Text(text)) => {
                self.send_part(choice, &json!({"text": text, "thought": true}), out);
            }
            (_, Delta::Signature(more)) => part.signature.get_or_insert_default().push_str(&more),
            _ => {}
        }
    }

    /// Sends what of the open part was not: a call, an image, a signature.
    fn close(&mut self, choice: u32, out: &mut Vec<u8>) {
        let Choice { open, ending } = self.choice(choice);
        if let Some(rest) = open.take().and_then(|part| ending.part(&part)) {
            self.send_part(choice, &rest, out);
        }
    }

    /// Sends the reasons.
    fn end(&mut self, out: &mut Vec<u8>) {
        let choices = std::mem::take(&mut self.choices);
        let candidates = choices.iter().enumerate().map(|(index, choice)| {
            let mut candidate = json!({"content": {"parts": [{"text": ""}], "role": "model"}});
            choice.ending.finish(&mut candidate, choice.ending.stop.as_ref());
            candidate["index"] = index.into();
            candidate
        });
        self.send(&candidates.collect::<Vec<_>>(), out);
    }
}

impl WriteStream for Writer {
    fn write(&mut self, event: Event, out: &mut Vec<u8>) {
        match event {
            Event::Begin { id, model, .. } => self.head.begin(&id, &model),
            Event::Open { choice, content, .. } => self.choice(choice).open = Some(Part::new(content)),
            Event::Delta { choice, delta, .. } => self.delta(choice, delta, out),
            Event::Close { choice, .. } => self.close(choice, out),
            Event::Logprobs { choice, value } => add_logprobs(&mut self.choice(choice).ending.logprobs, value),
            Event::Finish { choice, stop } => self.choice(choice).ending.stop = Some(stop),
            Event::Usage(usage) => self.head.usage = Some(usage),
            Event::End => self.end(out),
            Event::Failed(error) => out.extend_from_slice(&error_event(&error)),
        }
    }
}

fn add_logprobs(before: &mut Option<Value>, mut more: Value) {
    let list = before.as_mut().and_then(|before| before.get_mut("content")).and_then(Value::as_array_mut);
    match (list, more.get_mut("content").and_then(Value::as_array_mut)) {
        (Some(list), Some(more)) => list.append(more),
        (Some(_), None) => {}
        (None, _) => *before = Some(more),
    }
}
