//! A provider's stream, in the internal form.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::DONE;
use super::fault::{Fault, given, list, text};
use super::message_reader::thought_signature;
use super::piece::{Kind, Pieces};
use super::response_reader::{read_citation, read_image};
use super::stop::read_stop;
use super::usage::{read_usage, usage_at_groq};
use crate::chat::{Code, Content, Delta, Error, Event};
use crate::wire::dialect::{BadAnswer, ReadStream};
use crate::wire::json::{self, Object, fields, items};
use crate::wire::sse;

/// The most choices that a request asks for.
const MAX_CHOICES: u64 = 128;

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    model: Value,
    #[serde(default)]
    created: Value,
    #[serde(default)]
    choices: Option<Vec<Map<String, Value>>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    x_groq: Option<&'a RawValue>,
    #[serde(default)]
    error: Value,
}

/// Reads a stream.
#[derive(Default)]
pub(super) struct Reader {
    begun: bool,
    ended: bool,
    choices: BTreeMap<u32, Reading>,
}

/// What was read of a choice.
#[derive(Default)]
struct Reading {
    pieces: Pieces,
    finished: bool,
}

impl ReadStream for Reader {
    fn read(&mut self, event: &sse::Event, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let Some(whole) = event.data() else { return Ok(()) };
        let data = whole.as_ref().trim_ascii();
        if data.is_empty() || self.ended {
            return Ok(());
        }
        if data == DONE {
            return self.done(out);
        }
        if self.begun
            && let Ok(object) = Object::read_answer(whole.clone())
            && let Some((number, more)) = only_text(&object)
            && let Some(reading) = self.choices.get_mut(&number).filter(|reading| !reading.finished)
        {
            return reading.pieces.say(Kind::Text, &more, out).map_err(bad);
        }
        let chunk: Chunk<'_> = serde_json::from_slice(data).map_err(|error| BadAnswer(error.to_string()))?;
        if !chunk.error.is_null() {
            self.ended = true;
            out.push(Event::Failed(read_error(&chunk.error)));
            return Ok(());
        }
        let usage = chunk.usage.and_then(|usage| read_usage(usage.get()));
        let usage = usage.or_else(|| usage_at_groq(chunk.x_groq?.get()));
        let choices = chunk.choices.unwrap_or_default();
        if choices.is_empty() && usage.is_none() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.begun, true) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            out.push(Event::Begin { id: text(&chunk.id), model: text(&chunk.model), created: chunk.created.as_i64() });
        }
        for choice in &choices {
            self.take(choice, out)?;
        }
        out.extend(usage.map(Event::Usage));
        Ok(())
    }

    /// The bytes' end is no end here: only `[DONE]` is.
    fn end(&mut self, _out: &mut Vec<Event>) {}
}

impl Reader {
    fn take(&mut self, choice: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let number = u32::try_from(index).ok().filter(|_| index < MAX_CHOICES);
        let number = number.ok_or_else(|| BadAnswer(format!("there is a choice of number {index}")))?;
        let reading = self.choices.entry(number).or_insert_with(|| Reading::new(number));
        let before = out.len();
        if let Some(Value::Object(delta)) = choice.get("delta") {
            reading.take(delta, out).map_err(bad)?;
        }
        if reading.finished && out.len() > before {
            return Err(BadAnswer(format!("choice {number} says more after its end")));
        }
        if let Some(value) = given(choice, "logprobs") {
            out.push(Event::Logprobs { choice: number, value: value.clone() });
        }
        let reason = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty());
        if let Some(reason) = reason.filter(|_| !reading.finished) {
            reading.finish(number, Some(reason), out)?;
        }
        Ok(())
    }

    fn done(&mut self, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        self.ended = true;
        if !std::mem::replace(&mut self.begun, true) {
            out.push(Event::Begin { id: String::new(), model: String::new(), created: None });
        }
        for (number, reading) in self.choices.iter_mut().filter(|(_, reading)| !reading.finished) {
            reading.finish(*number, None, out)?;
        }
        out.push(Event::End);
        Ok(())
    }
}

fn bad(fault: Fault) -> BadAnswer {
    BadAnswer(Error::from(fault.within("choices[].delta")).message)
}

/// What a chunk adds to the text of a choice, where it says nothing else: most chunks are so, and need no tree.
fn only_text(chunk: &Object) -> Option<(u32, Cow<'_, str>)> {
    let has = |name: &str| chunk.get(name).is_some_and(|value| value != "null");
    if has("error") || has("usage") || has("x_groq") {
        return None;
    }
    let mut choices = items(chunk.get("choices").filter(|choices| choices.starts_with('['))?);
    let choice = choices.next().filter(|choice| choice.starts_with('{'))?;
    let (mut number, mut more) = (0, None);
    for (name, value) in fields(choice) {
        match name {
            "index" => number = value.parse().ok()?,
            "delta" => more = Some(text_of_delta(value)?),
            "logprobs" | "finish_reason" if value != "null" => return None,
            name if name.contains('\\') => return None,
            _ => {}
        }
    }
    more.filter(|_| choices.next().is_none()).map(|more| (number, more))
}

fn text_of_delta(delta: &str) -> Option<Cow<'_, str>> {
    let mut more = None;
    for (name, value) in fields(delta).filter(|_| delta.starts_with('{')) {
        match name {
            "content" => more = Some(json::text(value)?),
            "role" => {}
            _ if value == "null" => {}
            _ => return None,
        }
    }
    more
}

impl Reading {
    fn new(choice: u32) -> Self {
        Self { pieces: Pieces::new(choice), finished: false }
    }

    fn take(&mut self, delta: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), Fault> {
        let thought = match text(delta, "reasoning_content")? {
            None => text(delta, "reasoning")?,
            thought => thought,
        };
        let details = list(delta, "reasoning_details")?;
        self.pieces.say(Kind::Thinking, thought.unwrap_or_default(), out)?;
        for detail in details {
            self.take_detail(detail, out)?;
        }
        match given(delta, "content") {
            Some(Value::Array(parts)) => {
                for part in parts {
                    self.take_part(part, out)?;
                }
            }
            _ => self.pieces.say(Kind::Text, text(delta, "content")?.unwrap_or_default(), out)?,
        }
        for cited in list(delta, "annotations")?.iter().filter_map(read_citation) {
            self.pieces.add_to(Kind::Text, Delta::Citation(cited), out)?;
        }
        for image in list(delta, "images")? {
            self.pieces.put_whole(read_image(image)?.content, None, out)?;
        }
        self.pieces.say(Kind::Refusal, text(delta, "refusal")?.unwrap_or_default(), out)?;
        for call in list(delta, "tool_calls")? {
            let call = call.as_object().ok_or_else(|| Fault::wrong("tool_calls", "must be a list of objects"))?;
            self.take_call(call, out)?;
        }
        Ok(())
    }

    /// One entry of OpenRouter's list: text that was not told otherwise, a proof, or redacted data.
    fn take_detail(&mut self, detail: &Value, out: &mut Vec<Event>) -> Result<(), Fault> {
        let said = |name: &str| detail.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if detail["type"] == "reasoning.encrypted" {
            let data = said("data").ok_or_else(|| Fault::wrong("reasoning_details", "must have data"))?;
            let redacted = Content::RedactedThinking(data.to_owned());
            return self.pieces.put_whole(redacted, said("signature").map(str::to_owned), out);
        }
        let more = said("text").or_else(|| said("summary")).unwrap_or_default();
        self.pieces.think(more, out)?;
        match said("signature") {
            Some(signature) => self.pieces.sign_thought(signature, out),
            None => Ok(()),
        }
    }

    fn take_part(&mut self, part: &Value, out: &mut Vec<Event>) -> Result<(), Fault> {
        let texts = part["thinking"].as_array().into_iter().flatten();
        for thought in texts.filter_map(|text| text["text"].as_str()) {
            self.pieces.say(Kind::Thinking, thought, out)?;
        }
        match part["type"].as_str() {
            Some("text") => self.pieces.say(Kind::Text, part["text"].as_str().unwrap_or_default(), out),
            Some("thinking") => self.pieces.say(Kind::Thinking, part["thinking"].as_str().unwrap_or_default(), out),
            _ => Err(Fault::wrong("content", "has a part that is not known")),
        }
    }

    fn take_call(&mut self, call: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), Fault> {
        let nothing = Map::new();
        let function = call.get("function").and_then(Value::as_object).unwrap_or(&nothing);
        let within = |fault: Fault| fault.within("tool_calls[].function");
        let name = text(function, "name").map_err(within)?.unwrap_or_default();
        let id = text(call, "id").map_err(|fault| fault.within("tool_calls[]"))?.unwrap_or_default();
        let index = call.get("index").and_then(Value::as_u64);
        let at = self.pieces.call((index, id, name), out)?;
        let object = given(function, "arguments").filter(|arguments| arguments.is_object()).map(Value::to_string);
        let arguments = match &object {
            Some(object) => object,
            None => text(function, "arguments").map_err(within)?.unwrap_or_default(),
        };
        let Some(at) = at else {
            let is_more = !arguments.trim().is_empty();
            let wrong = || Err(Fault::wrong("tool_calls", "has more of a call that is whole already"));
            return if is_more { wrong() } else { Ok(()) };
        };
        if !arguments.is_empty() {
            self.pieces.grow(at, Delta::Arguments(arguments.to_owned()), out)?;
        }
        match thought_signature(call) {
            Some(signature) => self.pieces.grow(at, Delta::Signature(signature), out),
            None => Ok(()),
        }
    }

    fn finish(&mut self, choice: u32, reason: Option<&str>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        self.finished = true;
        self.pieces.close_all(out).map_err(|fault| BadAnswer(Error::from(fault).message))?;
        let (refused, called) = (self.pieces.has(Kind::Refusal), self.pieces.has(Kind::Call));
        let stop = read_stop(reason.unwrap_or("stop"), refused, called);
        out.push(Event::Finish { choice, stop });
        Ok(())
    }
}

/// What a provider says went wrong after its stream began.
fn read_error(error: &Value) -> Error {
    let message = error.as_str().or_else(|| error.get("message").and_then(Value::as_str));
    let message: String = message.unwrap_or("the provider reports an error").chars().take(2_000).collect();
    let upstream_code = error.get("code").and_then(Value::as_str).map(str::to_owned);
    Error { upstream_code, ..Error::new(Code::UpstreamError, message) }
}
