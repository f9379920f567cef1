//! A stream, read event by event.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::answer_read::read_stop;
use super::{citation, error, usage};
use crate::chat::{self, Content, Delta, Stop, Usage};
use crate::wire::dialect::{BadAnswer, ReadStream};
use crate::wire::sse::Event;

/// The longest thought that only its provider reads.
const LONGEST_REDACTED: usize = 8 << 20;

/// A reader of one stream.
#[derive(Debug, Default)]
pub(super) struct Reader {
    begun: bool,
    stopped: bool,
    counted: bool,
    ended: bool,
    /// Whether the provider reported an error; only its counts are read behind that.
    failed: bool,
    /// Whether a call came.
    called: bool,
    usage: Option<Usage>,
    parts: u32,
    open: Option<Open>,
}

/// The open block.
#[derive(Debug)]
struct Open {
    /// The provider's number of the block.
    index: Option<u64>,
    kind: Kind,
}

/// What a block is: its start shows it, or its first delta.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Call,
    /// A thought that only its provider reads, as far as it came.
    Redacted(Vec<u8>),
}

impl ReadStream for Reader {
    fn read(&mut self, event: &Event, out: &mut Vec<chat::Event>) -> Result<(), BadAnswer> {
        let Some(data) = event.data().filter(|_| !self.ended) else { return Ok(()) };
        let value: Value = serde_json::from_slice(&data).map_err(|error| BadAnswer::unread(&error))?;
        if self.failed {
            out.extend(self.usage_in(&value).map(chat::Event::Usage));
            return Ok(());
        }
        if let Some(fault) = value.get("error").filter(|fault| fault.is_object()) {
            self.failed = true;
            out.push(chat::Event::Failed(error::read(fault)));
            return Ok(());
        }
        match event.name().unwrap_or_default() {
            "messageStart" => self.begin(out),
            "contentBlockStart" => self.start(&value, out)?,
            "contentBlockDelta" => self.delta(&value, out)?,
            "contentBlockStop" => self.close(out),
            "messageStop" => self.stop(&value, out),
            "metadata" => self.count(&value, out),
            // Whatever Amazon adds.
            _ => {}
        }
        Ok(())
    }

    /// The last event brings the usage; an answer that ended without it is whole all the same.
    fn end(&mut self, out: &mut Vec<chat::Event>) {
        if self.stopped && !self.ended && !self.failed {
            self.ended = true;
            out.push(chat::Event::End);
        }
    }
}

impl Reader {
    fn begin(&mut self, out: &mut Vec<chat::Event>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.push(chat::Event::Begin { id: String::new(), model: String::new(), created: None });
        }
    }

    /// Only a tool's call has a start.
    fn start(&mut self, event: &Value, out: &mut Vec<chat::Event>) -> Result<(), BadAnswer> {
        let text = |name: &str| {
            let text = event.pointer("/start/toolUse").and_then(|call| call.get(name)?.as_str());
            text.map(str::to_owned).ok_or_else(|| BadAnswer(format!("a block's start has no text `{name}`")))
        };
        let content = Content::ToolCall { id: text("toolUseId")?, name: text("name")?, arguments: String::new() };
        self.called = true;
        self.open(index(event), Kind::Call, Some(content), out);
        Ok(())
    }

    fn open(&mut self, index: Option<u64>, kind: Kind, content: Option<Content>, out: &mut Vec<chat::Event>) {
        self.begin(out);
        self.close(out);
        out.extend(content.map(|content| chat::Event::Open { choice: 0, part: self.parts, content }));
        self.open = Some(Open { index, kind });
    }

    fn delta(&mut self, event: &Value, out: &mut Vec<chat::Event>) -> Result<(), BadAnswer> {
        let Some(Value::Object(delta)) = event.get("delta") else {
            return Err(BadAnswer("a delta is none".to_owned()));
        };
        let index = index(event);
        let text = |value: &Value| {
            value.as_str().map(str::to_owned).ok_or_else(|| BadAnswer("a delta has no text".to_owned()))
        };
        for (name, value) in delta.iter().filter(|(_, value)| !value.is_null()) {
            match name.as_str() {
                "text" => self.add(index, Kind::Text, Delta::Text(text(value)?), out)?,
                "citation" => self.add(index, Kind::Text, Delta::Citation(citation::read(value)), out)?,
                "toolUse" => {
                    let input = value.get("input").map(text).transpose()?.unwrap_or_default();
                    self.add(index, Kind::Call, Delta::Arguments(input), out)?;
                }
                "reasoningContent" => self.think(index, value, out)?,
                name => return Err(BadAnswer::of_type("a delta", name)),
            }
        }
        Ok(())
    }

    fn think(&mut self, index: Option<u64>, thought: &Value, out: &mut Vec<chat::Event>) -> Result<(), BadAnswer> {
        let text = |name: &str| thought.get(name).and_then(Value::as_str).map(str::to_owned);
        if let Some(text) = text("text") {
            self.add(index, Kind::Thinking, Delta::Text(text), out)?;
        }
        if let Some(signature) = text("signature") {
            self.add(index, Kind::Thinking, Delta::Signature(signature), out)?;
        }
        let Some(piece) = text("redactedContent") else { return Ok(()) };
        let piece = STANDARD.decode(piece).map_err(|_| BadAnswer("a redacted thought is no base64".to_owned()))?;
        if !matches!(&self.open, Some(Open { kind: Kind::Redacted(_), index: open }) if *open == index) {
            self.open(index, Kind::Redacted(Vec::new()), None, out);
        }
        if let Some(Open { kind: Kind::Redacted(thought), .. }) = &mut self.open {
            if thought.len() + piece.len() > LONGEST_REDACTED {
                return Err(BadAnswer("a redacted thought is endless".to_owned()));
            }
            thought.extend_from_slice(&piece);
        }
        Ok(())
    }

    /// Adds to the block of this number, which begins with its first delta unless it is a call.
    fn add(
        &mut self,
        index: Option<u64>,
        kind: Kind,
        delta: Delta,
        out: &mut Vec<chat::Event>,
    ) -> Result<(), BadAnswer> {
        let is_open = self.open.as_ref().is_some_and(|open| open.index == index && open.kind == kind);
        if !is_open {
            let content = match kind {
                Kind::Text => Content::Text { text: String::new(), citations: Vec::new() },
                Kind::Thinking => Content::Thinking(String::new()),
                Kind::Call | Kind::Redacted(_) => {
                    return Err(BadAnswer("a delta is of a block that is not open".to_owned()));
                }
            };
            self.open(index, kind, Some(content), out);
        }
        let is_empty =
            matches!(&delta, Delta::Text(text) | Delta::Signature(text) | Delta::Arguments(text) if text.is_empty());
        if !is_empty {
            out.push(chat::Event::Delta { choice: 0, part: self.parts, delta });
        }
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<chat::Event>) {
        let Some(open) = self.open.take() else { return };
        let part = self.parts;
        if let Kind::Redacted(thought) = open.kind {
            let content = Content::RedactedThinking(STANDARD.encode(thought));
            out.push(chat::Event::Open { choice: 0, part, content });
        }
        out.push(chat::Event::Close { choice: 0, part });
        self.parts = self.parts.saturating_add(1);
    }

    fn stop(&mut self, event: &Value, out: &mut Vec<chat::Event>) {
        self.begin(out);
        self.close(out);
        if let Some(error) = event.get("stopReason").and_then(Value::as_str).and_then(error::of_reason) {
            self.failed = true;
            out.push(chat::Event::Failed(error));
            return;
        }
        if !std::mem::replace(&mut self.stopped, true) {
            out.push(chat::Event::Finish { choice: 0, stop: read_stop(event, self.called).unwrap_or(Stop::End) });
        }
        self.end_if_whole(out);
    }

    fn count(&mut self, event: &Value, out: &mut Vec<chat::Event>) {
        self.begin(out);
        self.counted = true;
        out.extend(self.usage_in(event).map(chat::Event::Usage));
        self.end_if_whole(out);
    }

    /// What an event and those before it count. Counts are cumulative.
    fn usage_in(&mut self, event: &Value) -> Option<Usage> {
        self.usage = Some(usage::read_with_service(event)?.after(self.usage));
        self.usage
    }

    /// The usage comes behind the end of the message; both together end the stream.
    fn end_if_whole(&mut self, out: &mut Vec<chat::Event>) {
        if self.stopped && self.counted && !std::mem::replace(&mut self.ended, true) {
            out.push(chat::Event::End);
        }
    }
}

fn index(event: &Value) -> Option<u64> {
    event.get("contentBlockIndex").and_then(Value::as_u64)
}
