//! Usage and endings, read from answers and streams that pass as they are.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::answer_read::read_stop;
use super::usage::{Counts, read_usage};
use crate::chat::Usage;
use crate::wire::dialect::{BadAnswer, Chunk, Observed, Tap};
use crate::wire::json::{Object, fields};
use crate::wire::sse::Event;
use crate::wire::{token_estimate, written};

/// Reads what the ledger needs of an answer.
pub(super) fn observe(body: &Bytes) -> Result<Observed, BadAnswer> {
    let object = Object::read_answer(body.clone())?;
    if !object.get("content").is_some_and(|content| content.starts_with('[')) {
        return Err(BadAnswer("it has no list `content`".to_owned()));
    }
    let usage = object.get("usage").and_then(|usage| serde_json::from_str(usage).ok());
    let reason = object.get("stop_reason").and_then(|json| json.strip_prefix('"')?.strip_suffix('"'));
    Ok(Observed {
        usage: usage.and_then(|usage: Value| read_usage(&usage)),
        // A paused turn is half an answer.
        ended_well: reason.is_some_and(|reason| read_stop(reason, None, true).is_good())
            && object.get("error").is_none_or(|error| error == "null"),
    })
}

/// Reads what the ledger needs of a stream.
#[derive(Debug, Default)]
pub(super) struct StreamTap {
    counts: Counts,
    final_counts: bool,
    content_bytes: usize,
    finished: bool,
}

/// The fields of an event that are read.
#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    content_block: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Ending {
    stop_reason: Option<String>,
}

#[derive(Deserialize)]
struct Beginning {
    usage: Option<Value>,
}

impl Tap for StreamTap {
    fn observe(&mut self, event: &Event) -> Chunk {
        let Some(data) = event.data().filter(|data| !data.trim_ascii().is_empty()) else {
            return Chunk::Pass(event.raw().clone());
        };
        let Ok(frame) = serde_json::from_slice::<Frame<'_>>(&data) else {
            return Chunk::Broken;
        };
        match frame.kind.as_deref() {
            Some("message_start") => {
                let message = frame.message.and_then(|json| serde_json::from_str::<Beginning>(json.get()).ok());
                if let Some(usage) = message.and_then(|message| message.usage) {
                    self.counts.observe(&usage);
                }
            }
            Some("content_block_delta") => {
                self.content_bytes += frame.delta.map_or(0, |delta| written_in(delta.get()));
            }
            Some("content_block_start") => {
                self.content_bytes += frame.content_block.map_or(0, |block| written_in(block.get()));
            }
            Some("message_delta") => self.observe_ending(&frame),
            Some("message_stop") => return Chunk::Done(event.raw().clone()),
            Some("error") => return Chunk::Failed(data),
            _ => {}
        }
        Chunk::Pass(event.raw().clone())
    }

    /// The usage reported; before the last report, the output is what came so far.
    fn usage(&self) -> Option<Usage> {
        if self.final_counts {
            return self.counts.usage();
        }
        let begun = self.counts.usage()?;
        Some(Usage { output: begun.output.max(self.estimated_output()), estimated: true, ..begun })
    }

    fn estimated_output(&self) -> u64 {
        token_estimate::of_bytes(self.content_bytes)
    }

    fn finished(&self) -> bool {
        self.finished
    }

    fn end_mark(&self) -> &'static [u8] {
        b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
    }
}

/// What a block's start or a delta has that the model wrote, in bytes.
fn written_in(json: &str) -> usize {
    let is_written = |name: &str| matches!(name, "text" | "thinking" | "partial_json" | "name");
    fields(json).filter(|(name, _)| is_written(name)).map(|(_, value)| written::of_json(value)).sum()
}

impl StreamTap {
    fn observe_ending(&mut self, frame: &Frame<'_>) {
        if let Some(usage) = frame.usage.and_then(|json| serde_json::from_str::<Value>(json.get()).ok()) {
            self.counts.observe(&usage);
            self.final_counts |= usage.get("output_tokens").is_some();
        }
        let ending = frame.delta.and_then(|json| serde_json::from_str::<Ending>(json.get()).ok());
        self.finished |= ending.is_some_and(|ending| ending.stop_reason.is_some());
    }
}
