//! Usage and endings, read from answers and streams that pass as they are.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::usage::{Counts, read_usage};
use crate::chat::Usage;
use crate::wire::dialect::{BadAnswer, Chunk, Observed, Tap};
use crate::wire::json::Object;
use crate::wire::sse::Event;
use crate::wire::token_estimate;

/// What a delta is besides its text, in bytes: `{"type":"text_delta","text":""}`.
const AROUND: usize = 31;

/// Reads what the ledger needs of an answer.
pub(super) fn observe(body: &Bytes) -> Result<Observed, BadAnswer> {
    let object = Object::read_answer(body.clone())?;
    let Some(content) = object.get("content").filter(|content| content.starts_with('[')) else {
        return Err(BadAnswer("it has no list `content`".to_owned()));
    };
    let usage = object.get("usage").and_then(|usage| serde_json::from_str(usage).ok());
    let reason = object.get("stop_reason").unwrap_or("null");
    Ok(Observed {
        usage: usage.and_then(|usage: Value| read_usage(&usage)),
        choice_bytes: content.len(),
        // A paused turn is half an answer.
        ended_well: reason.starts_with('"') && reason != "\"pause_turn\"",
    })
}

/// Reads what the ledger needs of a stream.
#[derive(Debug, Default)]
pub(super) struct StreamTap {
    counts: Counts,
    final_counts: bool,
    deltas: u64,
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
                self.deltas += 1;
                self.content_bytes += frame.delta.map_or(0, |delta| delta.get().len().saturating_sub(AROUND));
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
        token_estimate::of_bytes(self.content_bytes).max(self.deltas)
    }

    fn finished(&self) -> bool {
        self.finished
    }
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
