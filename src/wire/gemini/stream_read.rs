//! A provider's stream, read chunk by chunk.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;

use super::error::read_error;
use super::logprobs::read_logprobs;
use super::stop::{of_reason, read_stop};
use super::usage::{Counts, searches_in};
use crate::chat::{Citation, Content, Delta, Event, Source, Stop, Usage, id_by_place};
use crate::wire::dialect::{BadAnswer, ReadStream};
use crate::wire::exact_numbers;
use crate::wire::json::{self, Object, fields, items};
use crate::wire::sse;

/// The most candidates of an answer.
const MAX_CANDIDATES: usize = 128;

/// Reads a stream.
#[derive(Debug, Default)]
pub(super) struct Reader {
    id: String,
    begun: bool,
    failed: bool,
    /// Whether it reads a whole answer, which fails as a whole.
    is_whole: bool,
    /// The most searches that a chunk shows.
    searches: u64,
    counts: Option<Counts>,
    choices: Vec<Choice>,
}

#[derive(Debug, Default)]
struct Choice {
    /// The part that is open.
    open: Option<Open>,
    /// How many parts began.
    parts: u32,
    calls: bool,
    finished: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Text,
    Thinking,
}

/// The JSON of an event: what its `data:` lines hold, or an error's bare object, which Google sends now and then.
pub(super) fn json_of(event: &sse::Event) -> Option<Bytes> {
    let bare = || Some(event.raw().clone()).filter(|raw| raw.trim_ascii_start().starts_with(b"{"));
    event.data().or_else(bare).filter(|data| !data.trim_ascii().is_empty())
}

impl ReadStream for Reader {
    fn read(&mut self, event: &sse::Event, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let Some(data) = json_of(event) else { return Ok(()) };
        if self.begun
            && !self.failed
            && let Ok(object) = Object::read_answer(data.clone())
            && let Some(more) = only_text(&object)
            && let Some(choice) = self.choices.first_mut().filter(|choice| !choice.finished)
        {
            choice.text(0, (Open::Text, &more), None, out);
            // A count before the end covers what came so far at best.
            let usage = object.get("usageMetadata").and_then(|usage| self.count(usage));
            out.extend(usage.map(|usage| Event::Usage(Usage { estimated: true, ..usage })));
            return Ok(());
        }
        let value = exact_numbers::read(&data).map_err(|error| BadAnswer::unread(&error))?;
        self.take(value, out)
    }

    fn end(&mut self, out: &mut Vec<Event>) {
        if !self.failed && self.is_finished() {
            out.push(Event::End);
        }
    }
}

/// What a chunk adds to the text of the first candidate, where it has nothing else: most chunks are so, and need no tree.
fn only_text(chunk: &Object) -> Option<Cow<'_, str>> {
    if ["error", "promptFeedback"].iter().any(|name| chunk.get(name).is_some()) {
        return None;
    }
    let candidate = only_item(chunk.get("candidates")?)?;
    let mut more = None;
    for (name, value) in fields(candidate) {
        match (name, value) {
            ("index", "0") => {}
            ("content", content) => {
                let mut members = fields(content).filter(|(name, _)| *name != "role");
                let (_, parts) = members.next().filter(|(name, _)| *name == "parts" && content.starts_with('{'))?;
                let part = only_item(parts)?;
                let mut texts = fields(part);
                let (_, text) = texts.next().filter(|(name, _)| *name == "text")?;
                if members.next().is_some() || texts.next().is_some() {
                    return None;
                }
                more = Some(json::text(text)?);
            }
            _ => return None,
        }
    }
    more
}

/// The only item of a list, where that is an object.
fn only_item(list: &str) -> Option<&str> {
    let mut items = items(list).filter(|_| list.starts_with('['));
    items.next().filter(|item| item.starts_with('{') && items.next().is_none())
}

impl Reader {
    /// A reader of a whole answer.
    pub(super) fn of_whole() -> Self {
        Self { is_whole: true, ..Self::default() }
    }

    /// Takes a chunk.
    pub(super) fn take(&mut self, mut chunk: Value, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        if !chunk.is_object() {
            return Err(BadAnswer("it is no object".to_owned()));
        }
        let usage = chunk.get("usageMetadata").and_then(|usage| self.count(&exact_numbers::write(usage)));
        let error = chunk.get("error").filter(|error| !error.is_null());
        if error.is_some() || self.failed {
            out.extend(usage.map(Event::Usage));
            let is_first = !std::mem::replace(&mut self.failed, true);
            out.extend(error.filter(|_| is_first).map(|error| Event::Failed(read_error(error))));
            return Ok(());
        }
        if !std::mem::replace(&mut self.begun, true) {
            let text = |name: &str| chunk[name].as_str().unwrap_or_default().to_owned();
            self.id = text("responseId");
            out.push(Event::Begin { id: self.id.clone(), model: text("modelVersion"), created: None });
        }
        let candidates = match chunk.get_mut("candidates").map(Value::take) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(BadAnswer("its `candidates` are no list".to_owned())),
        };
        let searches = candidates.iter().filter_map(|candidate| candidate.get("groundingMetadata"));
        let searches = searches.map(|grounding| searches_in(&grounding.to_string())).sum();
        self.searches = self.searches.max(searches);
        let before = out.len();
        for (place, candidate) in candidates.into_iter().enumerate() {
            self.take_candidate(place, candidate, out)?;
        }
        if chunk["promptFeedback"]["blockReason"].is_string() && self.choices.is_empty() {
            self.choice(0)?.finished = true;
            out.push(Event::Finish { choice: 0, stop: Stop::Filtered });
        }
        // A count before the end covers what came so far at best.
        let ended = self.is_finished();
        let usage = usage.map(|usage| Usage { estimated: usage.estimated || !ended, ..usage }.searched(self.searches));
        let usage = usage.map(Event::Usage);
        // Nothing is read behind a failure, so its usage stands before it.
        let at = if self.failed { before } else { out.len() };
        out.splice(at..at, usage);
        Ok(())
    }

    /// What a chunk and those before it count.
    fn count(&mut self, usage: &str) -> Option<Usage> {
        self.counts = Some(Counts::read(usage)?.after(self.counts));
        self.counts.map(Counts::usage)
    }

    fn is_finished(&self) -> bool {
        !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finished)
    }

    fn choice(&mut self, place: usize) -> Result<&mut Choice, BadAnswer> {
        if place >= MAX_CANDIDATES {
            return Err(BadAnswer(format!("its candidate {place} is more than {MAX_CANDIDATES} allow")));
        }
        if self.choices.len() <= place {
            self.choices.resize_with(place + 1, Choice::default);
        }
        Ok(&mut self.choices[place])
    }

    fn take_candidate(&mut self, place: usize, mut candidate: Value, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let place = candidate["index"].as_u64().map_or(Ok(place), usize::try_from).unwrap_or(usize::MAX);
        let (id, is_whole) = (self.id.clone(), self.is_whole);
        let choice = self.choice(place)?;
        let number = u32::try_from(place).unwrap_or(0);
        if choice.finished {
            return Ok(());
        }
        let parts = candidate.get_mut("content").and_then(|content| content.get_mut("parts")).map(Value::take);
        let parts = match parts {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(_) => return Err(BadAnswer("a candidate's `parts` are no list".to_owned())),
        };
        for part in parts {
            choice.take_part((number, &id), &part, out)?;
        }
        choice.cite(number, &candidate["citationMetadata"], out);
        if let Some(value) = candidate.get("logprobsResult").and_then(read_logprobs) {
            out.push(Event::Logprobs { choice: number, value });
        }
        if let Some(reason) = candidate["finishReason"].as_str().filter(|reason| !reason.is_empty()) {
            let is_empty = choice.parts == 0 && choice.open.is_none();
            choice.close(number, out);
            choice.finished = true;
            if let Some(error) = of_reason(reason, is_empty).filter(|_| !is_whole) {
                self.failed = true;
                out.push(Event::Failed(error));
                return Ok(());
            }
            out.push(Event::Finish { choice: number, stop: read_stop(reason, choice.calls) });
        }
        Ok(())
    }

    pub(super) fn close_all(&mut self, out: &mut Vec<Event>) {
        for (number, choice) in (0..).zip(&mut self.choices) {
            choice.close(number, out);
        }
    }
}

impl Choice {
    fn take_part(&mut self, (choice, id): (u32, &str), part: &Value, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let signature = part["thoughtSignature"].as_str().map(str::to_owned);
        let empty = part.as_object().is_some_and(|part| part.keys().all(|key| key.starts_with("thought")));
        if let Some(call) = part.get("functionCall").filter(|call| !call.is_null()) {
            let content = self.call(id, choice, call)?;
            self.whole(choice, content, signature, out);
            return Ok(());
        }
        if let Some(blob) = part.get("inlineData").filter(|blob| !blob.is_null()) {
            let content = read_blob(blob)?;
            self.whole(choice, content, signature, out);
            return Ok(());
        }
        let text = match part.get("text") {
            Some(Value::String(text)) => text.as_str(),
            None if empty => "",
            _ => {
                let kind = part.as_object().and_then(|part| part.keys().find(|key| !key.starts_with("thought")));
                let kind = kind.map_or("nothing", String::as_str);
                return Err(BadAnswer(format!("a part of the kind `{kind}` is not known here")));
            }
        };
        let kind = if part["thought"] == true { Open::Thinking } else { Open::Text };
        self.text(choice, (kind, text), signature, out);
        Ok(())
    }

    fn call(&mut self, id: &str, choice: u32, call: &Value) -> Result<Content, BadAnswer> {
        let name = call["name"].as_str().ok_or_else(|| BadAnswer("a functionCall has no `name`".to_owned()))?;
        let arguments = match call.get("args") {
            None | Some(Value::Null) => "{}".to_owned(),
            Some(args @ Value::Object(_)) => exact_numbers::write(args),
            Some(_) => return Err(BadAnswer(format!("the `args` of `{name}` are no object"))),
        };
        self.calls = true;
        let own = call["id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        // With the answer's id in it, since calls of several turns meet in one conversation.
        let fit = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
        let made_up = || {
            let of: String = id.chars().filter(fit).take(24).collect();
            let n = self.parts + u32::from(self.open.is_some());
            match of.is_empty() {
                true => id_by_place(choice, n),
                false => format!("call_{of}_{choice}_{n}"),
            }
        };
        Ok(Content::ToolCall { id: own.unwrap_or_else(made_up), name: name.to_owned(), arguments })
    }

    /// Adds to the open text, or opens one.
    fn text(&mut self, choice: u32, (kind, text): (Open, &str), signature: Option<String>, out: &mut Vec<Event>) {
        if text.is_empty() && signature.is_none() {
            return;
        }
        if self.open != Some(kind) {
            self.close(choice, out);
            let content = match kind {
                Open::Text => Content::Text { text: String::new(), citations: Vec::new() },
                Open::Thinking => Content::Thinking(String::new()),
            };
            out.push(Event::Open { choice, part: self.parts, content });
            self.open = Some(kind);
        }
        let part = self.parts;
        if !text.is_empty() {
            out.push(Event::Delta { choice, part, delta: Delta::Text(text.to_owned()) });
        }
        if let Some(signature) = signature {
            out.push(Event::Delta { choice, part, delta: Delta::Signature(signature) });
            // A signature ends its part.
            self.close(choice, out);
        }
    }

    /// Reports a part that comes whole.
    fn whole(&mut self, choice: u32, mut content: Content, signature: Option<String>, out: &mut Vec<Event>) {
        self.close(choice, out);
        let part = self.parts;
        let mut deltas = Vec::new();
        // A call's proof comes first: some dialects have to write it before the call.
        deltas.extend(signature.map(Delta::Signature));
        if let Content::ToolCall { arguments, .. } = &mut content {
            deltas.push(Delta::Arguments(std::mem::take(arguments)));
        }
        out.push(Event::Open { choice, part, content });
        out.extend(deltas.into_iter().map(|delta| Event::Delta { choice, part, delta }));
        out.push(Event::Close { choice, part });
        self.parts += 1;
    }

    fn close(&mut self, choice: u32, out: &mut Vec<Event>) {
        if self.open.take().is_some() {
            out.push(Event::Close { choice, part: self.parts });
            self.parts += 1;
        }
    }

    /// Reports what the open text cites. Google counts places in bytes of the whole answer; they are left out.
    fn cite(&self, choice: u32, metadata: &Value, out: &mut Vec<Event>) {
        if self.open != Some(Open::Text) {
            return;
        }
        let list = metadata["citationSources"].as_array().or_else(|| metadata["citations"].as_array());
        for source in list.into_iter().flatten() {
            let text = |name: &str| source[name].as_str().map(str::to_owned);
            let citation = Citation { url: text("uri"), title: text("title"), ..Citation::default() };
            out.push(Event::Delta { choice, part: self.parts, delta: Delta::Citation(citation) });
        }
    }
}

/// An image, sound or file that the model made.
fn read_blob(blob: &Value) -> Result<Content, BadAnswer> {
    let (Some(kind), Some(data)) = (blob["mimeType"].as_str(), blob["data"].as_str()) else {
        return Err(BadAnswer("an `inlineData` has no `mimeType` or no `data`".to_owned()));
    };
    if let Some(format) = kind.strip_prefix("audio/") {
        return Ok(Content::Audio { data: data.to_owned(), format: format.to_owned() });
    }
    let source = Source::Base64 { media_type: kind.to_owned(), data: data.to_owned() };
    Ok(match kind.starts_with("image/") {
        true => Content::Image { source, detail: None },
        false => Content::Document { source, name: None, cite: false },
    })
}
