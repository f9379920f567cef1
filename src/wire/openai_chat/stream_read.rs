//! A provider's stream, in the internal form.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::failure::{in_chunk, of_choice};
use super::idiom::IDIOM;
use super::part_read::{plain_thought, read_block, read_citation, read_shown, thought_signature};
use super::pieces::{Kind, Pieces};
use super::stop::read_stop;
use crate::chat::{Content, Delta, Event, Stop, ThoughtPlace, Tier, Usage};
use crate::wire::dialect::{BadAnswer, ReadStream};
use crate::wire::fields::{Path, Place};
use crate::wire::json::{self, Object, fields, items};
use crate::wire::openai::{DONE, read_usage, usage_at_groq};
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
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

impl Chunk<'_> {
    fn has_failed(&self) -> bool {
        self.error.is_some_and(|error| error.get() != "null") || self.object.is_some_and(|kind| kind.get() == ERROR)
    }
}

/// The `object` of an event that is an error, as older servers send it.
const ERROR: &str = "\"error\"";

/// Reads a stream.
#[derive(Default)]
pub(super) struct Reader {
    begun: bool,
    ended: bool,
    /// Whether the provider reported an error; only its counts are read behind that.
    failed: bool,
    tier: Tier,
    usage: Option<Usage>,
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
        if self.failed {
            let chunk = serde_json::from_slice::<Chunk<'_>>(data);
            out.extend(chunk.ok().and_then(|chunk| self.count(&chunk)).map(Event::Usage));
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
            return reading.pieces.say(Kind::Text, &more, out);
        }
        let chunk: Chunk<'_> = serde_json::from_slice(data).map_err(|error| BadAnswer::unread(&error))?;
        let usage = self.count(&chunk);
        if chunk.has_failed() {
            self.failed = true;
            out.extend(usage.map(Event::Usage));
            out.push(Event::Failed(in_chunk(data)));
            return Ok(());
        }
        let choices = chunk.choices.unwrap_or_default();
        if choices.is_empty() && usage.is_none() {
            return Ok(());
        }
        if !std::mem::replace(&mut self.begun, true) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            out.push(Event::Begin { id: text(&chunk.id), model: text(&chunk.model), created: chunk.created.as_i64() });
        }
        // First, since it counts where a choice failed, too.
        let is_failed = choices.iter().any(|choice| of_choice(choice).is_some());
        out.extend(usage.filter(|_| is_failed).map(Event::Usage));
        for choice in choices {
            if !self.failed {
                self.take(choice, out)?;
            }
        }
        out.extend(usage.filter(|_| !is_failed).map(Event::Usage));
        Ok(())
    }

    /// `[DONE]` ends a stream of this dialect; some servers leave it out, and then their last `finish_reason` does.
    fn end(&mut self, out: &mut Vec<Event>) {
        let is_finished = !self.choices.is_empty() && self.choices.values().all(|reading| reading.finished);
        if is_finished && !self.failed && !std::mem::replace(&mut self.ended, true) {
            out.push(Event::End);
        }
    }
}

impl Reader {
    /// What a chunk and those before it count. Counts of chunks are cumulative.
    fn count(&mut self, chunk: &Chunk<'_>) -> Option<Usage> {
        if let Some(tier) = chunk.service_tier {
            self.tier = Tier::of_json(Some(tier.get()));
        }
        let usage = chunk.usage.and_then(|usage| read_usage(usage.get()));
        let usage = usage.or_else(|| usage_at_groq(chunk.x_groq?.get()))?;
        self.usage = Some(usage.in_tier(self.tier).after(self.usage));
        self.usage
    }

    fn take(&mut self, mut choice: Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
        let number = u32::try_from(index).ok().filter(|_| index < MAX_CHOICES);
        let number = number.ok_or_else(|| BadAnswer(format!("there is a choice of number {index}")))?;
        let reading = self.choices.entry(number).or_insert_with(|| Reading::new(number));
        let before = out.len();
        if let Some(Value::Object(delta)) = choice.get_mut("delta").map(Value::take) {
            reading.take(Place::of_map(delta, Path::of("choices[].delta"), &IDIOM), out)?;
        }
        if reading.finished && out.len() > before {
            return Err(BadAnswer(format!("choice {number} says more after its end")));
        }
        if let Some(error) = of_choice(&choice) {
            self.failed = true;
            out.push(Event::Failed(error));
            return Ok(());
        }
        if let Some(value) = choice.get_mut("logprobs").map(Value::take).filter(|value| !value.is_null()) {
            out.push(Event::Logprobs { choice: number, value });
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

/// The text that a chunk adds to a choice, where it has nothing else. Most chunks are such, and are read without a tree.
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

/// The text of an entry of OpenRouter's list.
fn text_of_detail(detail: &Value) -> Option<&str> {
    let text = |name: &str| detail.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("text").or_else(|| text("summary"))
}

impl Reading {
    fn new(choice: u32) -> Self {
        Self { pieces: Pieces::new(choice), finished: false }
    }

    fn take(&mut self, mut delta: Place<'_>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let thought = plain_thought(&mut delta)?;
        let details = delta.list("reasoning_details")?;
        if let Some((field, thought)) = thought {
            self.pieces.think_at(ThoughtPlace::of_text(field), &thought, out)?;
        }
        for detail in &details {
            self.take_detail(detail, out)?;
        }
        match delta.take("content") {
            None => {}
            Some(Value::String(text)) => self.pieces.say(Kind::Text, &text, out)?,
            Some(Value::Array(parts)) => {
                for part in &parts {
                    self.take_part(part, out)?;
                }
            }
            Some(_) => return Err(delta.wrong("content", "must be a text").into()),
        }
        for cited in delta.list("annotations")?.iter().filter_map(read_citation) {
            self.pieces.add_to(Kind::Text, Delta::Citation(cited), out)?;
        }
        for image in delta.list("images")? {
            self.pieces.put_whole(read_shown(&image, delta.at("images"))?.content, None, out)?;
        }
        self.pieces.say(Kind::Refusal, &delta.maybe_text("refusal")?.unwrap_or_default(), out)?;
        for call in delta.list("tool_calls")? {
            if !call.is_object() {
                return Err(delta.wrong("tool_calls", "must be a list of objects").into());
            }
            self.take_call(delta.inner(call, delta.at("tool_calls[]"))?, out)?;
        }
        Ok(())
    }

    /// One entry of OpenRouter's list: text that did not come as plain text, a proof, or redacted data.
    fn take_detail(&mut self, detail: &Value, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let text = |name: &str| detail.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let none = Map::new();
        let place = ThoughtPlace::of_entry(detail.as_object().unwrap_or(&none));
        if detail["type"] == "reasoning.encrypted" {
            let missing = || BadAnswer("`choices[].delta.reasoning_details` must have data".to_owned());
            let redacted = Content::RedactedThinking(place.lead() + text("data").ok_or_else(missing)?);
            return self.pieces.put_whole(redacted, text("signature").map(str::to_owned), out);
        }
        self.pieces.think(place.clone(), text_of_detail(detail).unwrap_or_default(), out)?;
        match text("signature") {
            Some(signature) => self.pieces.sign_thought(place, signature, out),
            None => Ok(()),
        }
    }

    fn take_part(&mut self, part: &Value, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        match part["type"].as_str() {
            Some("text") => self.pieces.say(Kind::Text, part["text"].as_str().unwrap_or_default(), out),
            Some("thinking") => match read_block(part).map(|thought| thought.content) {
                Some(Content::Thinking(text)) => {
                    let none = Map::new();
                    let place = ThoughtPlace::of_block(part.as_object().unwrap_or(&none));
                    self.pieces.think_at(place, &text, out)
                }
                _ => Ok(()),
            },
            _ => Err(BadAnswer("`choices[].delta.content` has a part that is not known".to_owned())),
        }
    }

    fn take_call(&mut self, mut call: Place<'_>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let signature = thought_signature(call.rest());
        let index = call.get("index").and_then(Value::as_u64);
        let id = call.maybe_text("id");
        let function = call.take("function").filter(Value::is_object).unwrap_or_else(|| Map::new().into());
        let mut function = call.inner(function, call.at("function"))?;
        let name = function.maybe_text("name")?.unwrap_or_default();
        let at = self.pieces.call((index, &id?.unwrap_or_default(), &name), out)?;
        let arguments = match function.take("arguments") {
            None => String::new(),
            Some(Value::String(arguments)) => arguments,
            Some(arguments @ Value::Object(_)) => arguments.to_string(),
            Some(_) => return Err(function.wrong("arguments", "must be a text").into()),
        };
        let Some(at) = at else {
            let is_more = !arguments.trim().is_empty();
            let text = "`choices[].delta.tool_calls` has more of a call that is whole already";
            return if is_more { Err(BadAnswer(text.to_owned())) } else { Ok(()) };
        };
        // Before the arguments, as with every reader: some dialects write it with the call's beginning.
        if let Some(signature) = signature {
            self.pieces.grow(at, Delta::Signature(signature), out)?;
        }
        match arguments.is_empty() {
            true => Ok(()),
            false => self.pieces.grow(at, Delta::Arguments(arguments), out),
        }
    }

    fn finish(&mut self, choice: u32, reason: Option<&str>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        self.finished = true;
        self.pieces.close_all(out)?;
        let (refused, called) = (self.pieces.has(Kind::Refusal), self.pieces.has(Kind::Call));
        let stop = match read_stop(reason.unwrap_or("stop"), refused, called) {
            // That nothing says why it ended is no good end: it goes down as one, and is not stored.
            Stop::End if reason.is_none() => Stop::Other(String::new()),
            stop => stop,
        };
        out.push(Event::Finish { choice, stop });
        Ok(())
    }
}
