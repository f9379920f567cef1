//! Reads a stream.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};

use serde_json::{Map, Value, json};

use super::answer_read::{failure, read_call, read_stop, read_tier, read_time};
use super::error::read_error;
use super::items_read::read_reasoning;
use super::part_read::read_annotation;
use super::usage::read_usage;
use crate::chat::{Content, Delta, Error, Event, Usage};
use crate::wire::dialect::{BadAnswer, ReadStream};
use crate::wire::json::{self, Object};
use crate::wire::sse;

/// The most parts that wait for their turn, in a stream that interleaves them.
const MAX_WAITING: usize = 1024;

/// Reads a stream. Items may come interleaved; their events are emitted one item after the other, in the order in which the items began.
#[derive(Debug, Default)]
pub(super) struct Reader {
    begun: bool,
    ended: bool,
    /// Whether the provider reported an error; only its counts are read behind that.
    failed: bool,
    usage: Option<Usage>,
    lanes: VecDeque<Lane>,
    seen: HashSet<Key>,
    next_part: u32,
    called: bool,
    refused: bool,
}

/// A part's place: the item's `output_index` and the `content_index` in it.
type Key = (u64, u64);

/// A part that has begun, and whose end is not emitted yet.
#[derive(Debug)]
struct Lane {
    key: Key,
    content: Content,
    /// Deltas that wait while another part is open.
    waiting: Vec<Delta>,
    closed: bool,
    /// Whether a text or arguments came as deltas, so that the whole part repeats them.
    has_deltas: bool,
    cited: usize,
    logged: bool,
    summary: u64,
}

impl ReadStream for Reader {
    fn read(&mut self, event: &sse::Event, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let Some(whole) = event.data() else { return Ok(()) };
        let data = whole.trim_ascii();
        if self.ended || data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        if self.begun
            && !self.failed
            && let Ok(object) = Object::read_answer(whole.clone())
            && let Some((key, more)) = only_text(&object)
            && let Some(place) = self.lanes.iter().position(|lane| lane.key == key && !lane.closed)
        {
            if !more.is_empty() {
                self.add(place, Delta::Text(more.into_owned()), out);
            }
            return Ok(());
        }
        let event: Map<String, Value> = serde_json::from_slice(data).map_err(|error| BadAnswer::unread(&error))?;
        self.take(&event, out)
    }

    fn end(&mut self, _out: &mut Vec<Event>) {}
}

/// The text that an event adds to a part. Most events are such, and are read without a tree.
fn only_text(event: &Object) -> Option<(Key, Cow<'_, str>)> {
    let logged = event.get("logprobs").is_some_and(|list| !matches!(list, "[]" | "null"));
    if event.get("type") != Some("\"response.output_text.delta\"") || logged {
        return None;
    }
    let number = |name: &str| event.get(name).and_then(|value| value.parse().ok()).unwrap_or(0);
    Some(((number("output_index"), number("content_index")), json::text(event.get("delta")?)?))
}

impl Reader {
    fn take(&mut self, event: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
        let response = event.get("response").and_then(Value::as_object);
        let has_failed = matches!(kind, "error" | "response.failed" | "response.cancelled")
            || (kind.is_empty() && event.contains_key("error"));
        let counted = response.and_then(|response| self.count(response));
        if has_failed || self.failed {
            out.extend(counted.map(Event::Usage));
            let is_first = !std::mem::replace(&mut self.failed, true);
            out.extend(is_first.then(|| Event::Failed(error_in(event, response))));
            return Ok(());
        }
        if !self.begun {
            self.begin(response, out);
        }
        match kind {
            "response.output_item.added" => self.item_added(event, out)?,
            "response.output_item.done" => self.item_done(event, out)?,
            "response.content_part.added" => self.part_added(event, out)?,
            "response.content_part.done" => self.part_done(event, out)?,
            "response.output_text.delta" => self.text_delta(event, out)?,
            "response.refusal.delta" => self.grow(event, || Content::Refusal(String::new()), out)?,
            "response.function_call_arguments.delta" => self.arguments_delta(event, out),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => self.thought(event, out)?,
            "response.output_text.annotation.added" => self.annotation(event, out)?,
            "response.completed" | "response.incomplete" => {
                self.finish(response.ok_or_else(|| BadAnswer("its last event has no `response`".to_owned()))?, out)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What an event's answer and those before it count. Counts are cumulative.
    fn count(&mut self, response: &Map<String, Value>) -> Option<Usage> {
        let usage = read_usage(response.get("usage")?)?.in_tier(read_tier(response));
        self.usage = Some(usage.after(self.usage));
        self.usage
    }

    fn begin(&mut self, response: Option<&Map<String, Value>>, out: &mut Vec<Event>) {
        self.begun = true;
        let field = |name: &str| response.and_then(|response| response.get(name));
        let text = |name: &str| field(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        out.push(Event::Begin {
            id: text("id"),
            model: text("model"),
            created: field("created_at").and_then(read_time),
        });
    }

    /// The lane of `key`, begun with `content` where there is none yet; `None` for a part that has ended.
    fn lane(
        &mut self,
        key: Key,
        content: impl FnOnce() -> Content,
        out: &mut Vec<Event>,
    ) -> Result<Option<usize>, BadAnswer> {
        if let Some(place) = self.lanes.iter().position(|lane| lane.key == key) {
            return Ok(Some(place).filter(|place| !self.lanes[*place].closed));
        }
        if self.seen.contains(&key) {
            return Ok(None);
        }
        if self.lanes.len() >= MAX_WAITING {
            return Err(BadAnswer(format!("more than {MAX_WAITING} parts are open at once")));
        }
        self.seen.insert(key);
        let content = content();
        self.called |= matches!(content, Content::ToolCall { .. });
        self.refused |= matches!(content, Content::Refusal(_));
        if self.lanes.is_empty() {
            out.push(Event::Open { choice: 0, part: self.next_part, content: content.clone() });
        }
        self.lanes.push_back(Lane {
            key,
            content,
            waiting: Vec::new(),
            closed: false,
            has_deltas: false,
            cited: 0,
            logged: false,
            summary: 0,
        });
        Ok(Some(self.lanes.len() - 1))
    }

    fn add(&mut self, place: usize, delta: Delta, out: &mut Vec<Event>) {
        let Some(lane) = self.lanes.get_mut(place) else { return };
        match &delta {
            Delta::Citation(_) => lane.cited += 1,
            Delta::Text(_) | Delta::Arguments(_) => lane.has_deltas = true,
            Delta::Signature(_) => {}
        }
        if place == 0 {
            out.push(Event::Delta { choice: 0, part: self.next_part, delta });
        } else {
            lane.waiting.push(delta);
        }
    }

    /// Closes a lane, and emits the lanes that waited for it.
    fn close(&mut self, place: usize, out: &mut Vec<Event>) {
        if let Some(lane) = self.lanes.get_mut(place) {
            lane.closed = true;
        }
        while self.lanes.front().is_some_and(|lane| lane.closed) {
            self.lanes.pop_front();
            out.push(Event::Close { choice: 0, part: self.next_part });
            self.next_part += 1;
            let part = self.next_part;
            if let Some(lane) = self.lanes.front_mut() {
                out.push(Event::Open { choice: 0, part, content: lane.content.clone() });
                let waiting = std::mem::take(&mut lane.waiting);
                out.extend(waiting.into_iter().map(|delta| Event::Delta { choice: 0, part, delta }));
            }
        }
    }

    fn item_added(&mut self, event: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let Some(Value::Object(item)) = event.get("item") else { return Ok(()) };
        if item.get("type").is_some_and(|kind| kind == "function_call") {
            let key = (index(event, "output_index"), 0);
            self.lane(key, || without_arguments(item), out)?;
        }
        Ok(())
    }

    fn item_done(&mut self, event: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let Some(Value::Object(item)) = event.get("item") else { return Ok(()) };
        self.whole_item(index(event, "output_index"), item, out)
    }

    /// Emits what of a whole item did not come as deltas, and closes the item.
    fn whole_item(
        &mut self,
        item_index: u64,
        item: &Map<String, Value>,
        out: &mut Vec<Event>,
    ) -> Result<(), BadAnswer> {
        match item.get("type").and_then(Value::as_str) {
            Some("function_call") => {
                let Some(place) = self.lane((item_index, 0), || without_arguments(item), out)? else { return Ok(()) };
                let arguments = item.get("arguments").and_then(Value::as_str).unwrap_or_default();
                if !self.lanes[place].has_deltas && !arguments.is_empty() {
                    self.add(place, Delta::Arguments(arguments.to_owned()), out);
                }
                self.close(place, out);
            }
            Some("reasoning") => self.whole_reasoning(item_index, item, out)?,
            Some("message") => {
                let content = item.get("content").and_then(Value::as_array).into_iter().flatten();
                for (n, part) in (0..).zip(content) {
                    self.whole_part((item_index, n), part, out)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn whole_reasoning(
        &mut self,
        item_index: u64,
        item: &Map<String, Value>,
        out: &mut Vec<Event>,
    ) -> Result<(), BadAnswer> {
        let key = (item_index, 0);
        let Some(part) = read_reasoning(item) else {
            if let Some(place) = self.lanes.iter().position(|lane| lane.key == key) {
                self.close(place, out);
            }
            return Ok(());
        };
        let thinking = || Content::Thinking(String::new());
        let (text, proof) = match part.content {
            Content::Thinking(text) => (text, part.signature),
            Content::RedactedThinking(data) if !self.seen.contains(&key) => {
                if let Some(place) = self.lane(key, || Content::RedactedThinking(data), out)? {
                    self.close(place, out);
                }
                return Ok(());
            }
            Content::RedactedThinking(data) => (String::new(), Some(data)),
            _ => return Ok(()),
        };
        let Some(place) = self.lane(key, thinking, out)? else { return Ok(()) };
        if !self.lanes[place].has_deltas && !text.is_empty() {
            self.add(place, Delta::Text(text), out);
        }
        if let Some(proof) = proof {
            self.add(place, Delta::Signature(proof), out);
        }
        self.close(place, out);
        Ok(())
    }

    fn part_added(&mut self, event: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let kind = event.get("part").and_then(|part| part.get("type")?.as_str());
        let content = match kind {
            Some("output_text") => empty_text(),
            Some("refusal") => Content::Refusal(String::new()),
            _ => return Ok(()),
        };
        self.lane(key(event), || content, out)?;
        Ok(())
    }

    fn part_done(&mut self, event: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        match event.get("part") {
            Some(part) => self.whole_part(key(event), part, out),
            None => Ok(()),
        }
    }

    fn whole_part(&mut self, key: Key, part: &Value, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let text = |name: &str| part.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (empty, whole) = match part.get("type").and_then(Value::as_str) {
            Some("output_text") => (empty_text(), text("text")),
            Some("refusal") => (Content::Refusal(String::new()), text("refusal")),
            _ => return Ok(()),
        };
        let Some(place) = self.lane(key, || empty, out)? else { return Ok(()) };
        if !self.lanes[place].has_deltas && !whole.is_empty() {
            self.add(place, Delta::Text(whole), out);
        }
        let annotations = part.get("annotations").and_then(Value::as_array).into_iter().flatten();
        let news: Vec<_> = annotations.filter_map(read_annotation).skip(self.lanes[place].cited).collect();
        for citation in news {
            self.add(place, Delta::Citation(citation), out);
        }
        self.log(place, part.get("logprobs"), true, out);
        self.close(place, out);
        Ok(())
    }

    fn text_delta(&mut self, event: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        self.grow(event, empty_text, out)?;
        if let Some(place) = self.lanes.iter().position(|lane| lane.key == key(event)) {
            self.log(place, event.get("logprobs"), false, out);
        }
        Ok(())
    }

    /// Emits log-probabilities; a whole list only where none came before.
    fn log(&mut self, place: usize, list: Option<&Value>, whole: bool, out: &mut Vec<Event>) {
        let Some(Value::Array(list)) = list.filter(|list| list.as_array().is_some_and(|list| !list.is_empty())) else {
            return;
        };
        let Some(lane) = self.lanes.get_mut(place) else { return };
        if !(whole && lane.logged) {
            lane.logged = true;
            out.push(Event::Logprobs { choice: 0, value: json!({"content": list}) });
        }
    }

    fn grow(
        &mut self,
        event: &Map<String, Value>,
        empty: impl FnOnce() -> Content,
        out: &mut Vec<Event>,
    ) -> Result<(), BadAnswer> {
        let Some(place) = self.lane(key(event), empty, out)? else { return Ok(()) };
        if let Some(text) = delta_of(event) {
            self.add(place, Delta::Text(text), out);
        }
        Ok(())
    }

    fn arguments_delta(&mut self, event: &Map<String, Value>, out: &mut Vec<Event>) {
        let key = (index(event, "output_index"), 0);
        let place = self.lanes.iter().position(|lane| lane.key == key && !lane.closed);
        // Before its item came, a fragment has no name; the whole item repeats its text.
        if let (Some(place), Some(more)) = (place, delta_of(event)) {
            self.add(place, Delta::Arguments(more), out);
        }
    }

    /// A piece of a reasoning item's summary or text. The item's paragraphs are one thought.
    fn thought(&mut self, event: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let key = (index(event, "output_index"), 0);
        let Some(place) = self.lane(key, || Content::Thinking(String::new()), out)? else { return Ok(()) };
        let paragraph = index(event, "summary_index").max(index(event, "content_index"));
        let lane = &mut self.lanes[place];
        let next = lane.has_deltas && paragraph > lane.summary;
        lane.summary = lane.summary.max(paragraph);
        if next {
            self.add(place, Delta::Text("\n\n".to_owned()), out);
        }
        if let Some(text) = delta_of(event) {
            self.add(place, Delta::Text(text), out);
        }
        Ok(())
    }

    fn annotation(&mut self, event: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let Some(place) = self.lane(key(event), empty_text, out)? else { return Ok(()) };
        if let Some(citation) = event.get("annotation").and_then(read_annotation) {
            self.add(place, Delta::Citation(citation), out);
        }
        Ok(())
    }

    fn finish(&mut self, response: &Map<String, Value>, out: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let output = response.get("output").and_then(Value::as_array).into_iter().flatten();
        for (n, item) in (0..).zip(output) {
            if let Value::Object(item) = item {
                self.whole_item(n, item, out)?;
            }
        }
        while !self.lanes.is_empty() {
            self.close(0, out);
        }
        out.push(Event::Finish { choice: 0, stop: read_stop(response, self.called, self.refused)? });
        out.extend(self.usage.map(Event::Usage));
        out.push(Event::End);
        self.ended = true;
        Ok(())
    }
}

/// The error that an event reports: its own, or that of its answer.
fn error_in(event: &Map<String, Value>, response: Option<&Map<String, Value>>) -> Error {
    let of_answer = response.and_then(|response| failure(&Value::Object(response.clone())));
    of_answer.unwrap_or_else(|| read_error(&Value::Object(event.clone())))
}

fn index(event: &Map<String, Value>, name: &str) -> u64 {
    event.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn key(event: &Map<String, Value>) -> Key {
    (index(event, "output_index"), index(event, "content_index"))
}

fn delta_of(event: &Map<String, Value>) -> Option<String> {
    event.get("delta").and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn empty_text() -> Content {
    Content::Text { text: String::new(), citations: Vec::new() }
}

fn without_arguments(item: &Map<String, Value>) -> Content {
    match read_call(item) {
        Content::ToolCall { id, name, .. } => Content::ToolCall { id, name, arguments: String::new() },
        other => other,
    }
}
