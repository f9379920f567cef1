//! Answers for callers of this dialect, whole or chunk by chunk.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::error::error_event;
use super::logprobs::write_logprobs;
use super::part::{arguments_of, write_part};
use super::stop::write_stop;
use super::usage::write_usage;
use crate::chat::{Citation, Content, Delta, Emulated, Event, Part, Response, Stop, Usage};
use crate::wire::dialect::{AnswerContext, WriteStream};
use crate::wire::json::exact;

/// What Google itself says where a model wrote arguments that are no JSON.
const MALFORMED: &str = "MALFORMED_FUNCTION_CALL";

/// A whole answer.
#[must_use]
pub fn write_response(response: &Response, told: &AnswerContext) -> Bytes {
    let mut candidates = Vec::with_capacity(response.choices.len());
    for (index, choice) in response.choices.iter().enumerate() {
        let mut ending = Ending::default();
        let mut parts = Vec::with_capacity(choice.parts.len());
        for part in &choice.parts {
            if let Content::Text { citations, .. } = &part.content {
                ending.citations.extend(citations.iter().cloned());
            }
            parts.extend(ending.part(part));
        }
        ending.logprobs.clone_from(&choice.logprobs);
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}});
        ending.finish(&mut candidate, choice.stop.as_ref());
        candidate["index"] = index.into();
        candidates.push(candidate);
    }
    let mut head = Head::new(told);
    head.begin(&response.id, &response.model);
    head.usage = response.usage;
    exact::write(&head.answer(&candidates)).into()
}

/// What an answer says of itself in every chunk.
#[derive(Debug)]
struct Head {
    id: String,
    model: String,
    usage: Option<Usage>,
}

impl Head {
    fn new(told: &AnswerContext) -> Self {
        Self { id: told.id.clone(), model: told.model.clone(), usage: None }
    }

    /// Takes the provider's id, and its model where the caller is told none.
    fn begin(&mut self, id: &str, model: &str) {
        if !id.is_empty() {
            id.clone_into(&mut self.id);
        }
        if self.model.is_empty() {
            model.clone_into(&mut self.model);
        }
    }

    fn answer(&self, candidates: &[Value]) -> Value {
        let mut answer = json!({"candidates": candidates});
        if let Some(usage) = &self.usage {
            answer["usageMetadata"] = write_usage(usage);
        }
        answer["modelVersion"] = self.model.as_str().into();
        answer["responseId"] = self.id.as_str().into();
        answer
    }
}

/// What a candidate says at its end.
#[derive(Debug, Default)]
struct Ending {
    stop: Option<Stop>,
    malformed: Option<String>,
    citations: Vec<Citation>,
    logprobs: Option<Value>,
}

impl Ending {
    /// Writes a part; a call whose arguments are no object is told at the end instead.
    fn part(&mut self, part: &Part) -> Option<Value> {
        if let Content::ToolCall { name, arguments, .. } = &part.content
            && arguments_of(arguments).is_none()
        {
            self.malformed = Some(format!("Malformed function call: {name}({arguments})"));
            return None;
        }
        // A part that only another provider reads says nothing to this caller.
        write_part("parts", part, &mut Emulated::default()).ok().flatten()
    }

    fn finish(&self, candidate: &mut Value, stop: Option<&Stop>) {
        // A call cut off at the limit is told as that.
        let cut = matches!(stop, Some(Stop::Length | Stop::Context));
        if let Some(message) = self.malformed.as_ref().filter(|_| !cut) {
            candidate["finishReason"] = MALFORMED.into();
            candidate["finishMessage"] = message.as_str().into();
        } else if let Some(stop) = stop {
            candidate["finishReason"] = write_stop(stop).into();
        }
        let cited: Vec<Value> = self.citations.iter().filter_map(write_citation).collect();
        if !cited.is_empty() {
            candidate["citationMetadata"] = json!({"citationSources": cited});
        }
        if let Some(logprobs) = &self.logprobs {
            candidate["logprobsResult"] = write_logprobs(logprobs);
        }
    }
}

/// A citation of a page; one of a document has no place here.
fn write_citation(citation: &Citation) -> Option<Value> {
    let mut out = Map::new();
    out.insert("uri".to_owned(), citation.url.as_deref()?.into());
    if let Some(title) = &citation.title {
        out.insert("title".to_owned(), title.as_str().into());
    }
    Some(out.into())
}

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
    content: Said<'a>,
    index: u32,
}

#[derive(Serialize)]
struct Said<'a> {
    parts: [Text<'a>; 1],
    role: &'a str,
}

#[derive(Serialize)]
struct Text<'a> {
    text: &'a str,
}

/// Writes a stream: text as it comes, calls whole, and the reasons last, in one chunk with the usage.
#[derive(Debug)]
pub struct Writer {
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
    #[must_use]
    pub fn new(told: &AnswerContext) -> Self {
        Self { head: Head::new(told), choices: Vec::new() }
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
        out.extend_from_slice(exact::write(&self.head.answer(candidates)).as_bytes());
        out.extend_from_slice(b"\r\n\r\n");
    }

    fn send_text(&self, choice: u32, text: &str, out: &mut Vec<u8>) {
        let chunk = Chunk {
            candidates: [Candidate { content: Said { parts: [Text { text }], role: "model" }, index: choice }],
            usage: self.head.usage.as_ref().map(write_usage),
            model: &self.head.model,
            id: &self.head.id,
        };
        out.extend_from_slice(format!("data: {}\r\n\r\n", exact::write(&chunk)).as_bytes());
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
