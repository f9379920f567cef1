//! A provider's stream, read event by event.

use std::borrow::Cow;

use serde_json::Value;

use super::answer_read::{read_block, read_stop};
use super::citation;
use super::error::read_event;
use super::usage::Counts;
use crate::chat::{self, Content, Delta, Part, Usage};
use crate::wire::dialect::{BadAnswer, ReadStream};
use crate::wire::exact_numbers;
use crate::wire::json::{self, Object, fields};
use crate::wire::sse::Event;

/// A reader of one stream.
#[derive(Debug, Default)]
pub(super) struct Reader {
    begun: bool,
    finished: bool,
    ended: bool,
    /// Whether the provider reported an error; only its counts are read behind that.
    failed: bool,
    /// Whether a call came.
    called: bool,
    counts: Counts,
    parts: u32,
    open: Option<Open>,
}

/// The open block.
#[derive(Debug)]
struct Open {
    /// The provider's number of the block.
    index: Option<u64>,
    /// A tool call's input that came with its start, for servers that send it whole.
    input: Option<String>,
}

impl ReadStream for Reader {
    fn read(&mut self, event: &Event, out: &mut Vec<chat::Event>) -> Result<(), BadAnswer> {
        let Some(data) = event.data().filter(|data| !data.trim_ascii().is_empty() && !self.ended) else {
            return Ok(());
        };
        if !self.failed
            && let Ok(object) = Object::read_answer(data.clone())
            && let Some((index, more)) = only_text(&object)
            && self.open.as_ref().is_some_and(|open| open.index == index)
        {
            if !more.is_empty() {
                let delta = Delta::Text(more.into_owned());
                out.push(chat::Event::Delta { choice: 0, part: self.parts, delta });
            }
            return Ok(());
        }
        let value: Value = exact_numbers::read(&data).map_err(|error| BadAnswer::unread(&error))?;
        let Some(kind) = value.get("type").and_then(Value::as_str) else {
            return Err(BadAnswer("an event has no `type`".to_owned()));
        };
        if self.failed {
            self.count(&value, out);
            return Ok(());
        }
        match kind {
            "message_start" => self.begin(&value, out),
            "content_block_start" => self.open(&value, out)?,
            "content_block_delta" => self.delta(&value, out)?,
            "content_block_stop" => self.close(out),
            "message_delta" => self.finish(&value, out),
            "message_stop" => self.stop(out),
            "error" => {
                self.failed = true;
                out.push(chat::Event::Failed(read_event(&value)));
            }
            // `ping`, and whatever Anthropic adds: its reference asks that unknown events pass.
            _ => {}
        }
        Ok(())
    }

    /// `message_stop` ends a stream; some servers leave it out, and then the reason to stop does.
    fn end(&mut self, out: &mut Vec<chat::Event>) {
        if self.finished && !self.ended && !self.failed {
            self.stop(out);
        }
    }
}

/// What an event adds to the text of a block: most events do nothing else, and need no tree.
fn only_text(event: &Object) -> Option<(Option<u64>, Cow<'_, str>)> {
    if event.get("type") != Some("\"content_block_delta\"") {
        return None;
    }
    let index = event.get("index").map(|index| index.parse().ok());
    let delta = event.get("delta").filter(|delta| delta.starts_with('{'))?;
    let (mut is_text, mut more) = (false, None);
    for (name, value) in fields(delta) {
        match name {
            "type" => is_text = value == "\"text_delta\"",
            "text" => more = Some(json::text(value)?),
            name if name.contains('\\') => return None,
            _ => {}
        }
    }
    more.filter(|_| is_text).map(|more| (index.flatten(), more))
}

impl Reader {
    fn begin(&mut self, event: &Value, out: &mut Vec<chat::Event>) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let text = |name: &str| {
            event.get("message").and_then(|message| message.get(name)?.as_str()).unwrap_or_default().to_owned()
        };
        out.push(chat::Event::Begin { id: text("id"), model: text("model"), created: None });
        if let Some(usage) = event.pointer("/message/usage") {
            self.counts.observe(usage);
            // The output in this count is a beginning, not the whole.
            out.extend(self.counts.usage().map(|usage| chat::Event::Usage(Usage { estimated: true, ..usage })));
        }
    }

    fn open(&mut self, event: &Value, out: &mut Vec<chat::Event>) -> Result<(), BadAnswer> {
        if !self.begun {
            self.begin(&Value::Null, out);
        }
        self.close(out);
        let block = event.get("content_block").ok_or_else(|| BadAnswer("a block's start has no block".to_owned()))?;
        let Part { content, signature, .. } = read_block(block)?;
        let mut input = None;
        let mut first = Vec::new();
        let content = match content {
            Content::Text { text, citations } => {
                first.extend((!text.is_empty()).then_some(Delta::Text(text)));
                first.extend(citations.into_iter().map(Delta::Citation));
                Content::Text { text: String::new(), citations: Vec::new() }
            }
            Content::Thinking(text) => {
                first.extend((!text.is_empty()).then_some(Delta::Text(text)));
                Content::Thinking(String::new())
            }
            Content::ToolCall { id, name, arguments } => {
                self.called = true;
                input = (arguments != "{}").then_some(arguments);
                Content::ToolCall { id, name, arguments: String::new() }
            }
            whole => whole,
        };
        first.extend(signature.map(Delta::Signature));
        let part = self.parts;
        out.push(chat::Event::Open { choice: 0, part, content });
        out.extend(first.into_iter().map(|delta| chat::Event::Delta { choice: 0, part, delta }));
        self.open = Some(Open { index: event.get("index").and_then(Value::as_u64), input });
        Ok(())
    }

    fn delta(&mut self, event: &Value, out: &mut Vec<chat::Event>) -> Result<(), BadAnswer> {
        let index = event.get("index").and_then(Value::as_u64);
        let Some(open) = self.open.as_mut().filter(|open| open.index == index) else {
            return Err(BadAnswer("a delta is of a block that is not open".to_owned()));
        };
        let text = |name: &str| {
            let text = event.pointer("/delta").and_then(|delta| delta.get(name)?.as_str());
            text.map(str::to_owned).ok_or_else(|| BadAnswer(format!("a delta has no text `{name}`")))
        };
        let delta = match text("type")?.as_str() {
            "text_delta" => Delta::Text(text("text")?),
            "thinking_delta" => Delta::Text(text("thinking")?),
            "signature_delta" => Delta::Signature(text("signature")?),
            "input_json_delta" => Delta::Arguments(text("partial_json")?),
            "citations_delta" => {
                Delta::Citation(citation::read(event.pointer("/delta/citation").unwrap_or(&Value::Null)))
            }
            kind => return Err(BadAnswer::of_type("a delta", kind)),
        };
        match &delta {
            Delta::Text(text) | Delta::Signature(text) | Delta::Arguments(text) if text.is_empty() => return Ok(()),
            Delta::Arguments(_) => open.input = None,
            _ => {}
        }
        out.push(chat::Event::Delta { choice: 0, part: self.parts, delta });
        Ok(())
    }

    fn close(&mut self, out: &mut Vec<chat::Event>) {
        let Some(open) = self.open.take() else { return };
        let part = self.parts;
        out.extend(open.input.map(|input| chat::Event::Delta { choice: 0, part, delta: Delta::Arguments(input) }));
        out.push(chat::Event::Close { choice: 0, part });
        self.parts = self.parts.saturating_add(1);
    }

    fn finish(&mut self, event: &Value, out: &mut Vec<chat::Event>) {
        if !self.begun {
            self.begin(&Value::Null, out);
        }
        self.close(out);
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        if let Some(reason) = text("/delta/stop_reason")
            && !std::mem::replace(&mut self.finished, true)
        {
            let stop = read_stop(reason, text("/delta/stop_sequence"), self.called);
            out.push(chat::Event::Finish { choice: 0, stop });
        }
        self.count(event, out);
    }

    fn count(&mut self, event: &Value, out: &mut Vec<chat::Event>) {
        if let Some(usage) = event.get("usage") {
            self.counts.observe(usage);
            out.extend(self.counts.usage().map(chat::Event::Usage));
        }
    }

    fn stop(&mut self, out: &mut Vec<chat::Event>) {
        if !self.begun {
            self.begin(&Value::Null, out);
        }
        self.close(out);
        self.ended = true;
        out.push(chat::Event::End);
    }
}
