//! Observes answers and streams that pass unchanged.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::error_event;
use super::usage::read_usage;
use crate::chat::{Error, Usage};
use crate::wire::dialect::{BadAnswer, Chunk, Observed, Tap};
use crate::wire::json::Object;
use crate::wire::sse::Event;

/// Observes a whole answer.
///
/// # Errors
/// Where the body is no answer.
pub(super) fn observe(body: &Bytes) -> Result<Observed, BadAnswer> {
    let object = Object::read_answer(body.clone())?;
    let Some(output) = object.get("output").filter(|output| output.starts_with('[')) else {
        return Err(BadAnswer("it has no `output`".to_owned()));
    };
    let ended = matches!(object.get("status"), None | Some("\"completed\"" | "\"incomplete\""));
    Ok(Observed {
        usage: object.get("usage").and_then(usage_of),
        choice_bytes: output.len(),
        ended_well: ended && object.get("error").is_none_or(|error| error == "null"),
    })
}

fn usage_of(json: &str) -> Option<Usage> {
    read_usage(&serde_json::from_str(json).ok()?)
}

/// Observes a stream.
#[derive(Debug, Default)]
pub(super) struct StreamTap {
    usage: Option<Usage>,
    next: u64,
    deltas: u64,
    content_bytes: usize,
    finished: bool,
}

/// The fields of an event that a tap reads.
#[derive(Deserialize)]
struct EventFields<'a> {
    #[serde(rename = "type", borrow)]
    kind: Option<Cow<'a, str>>,
    sequence_number: Option<u64>,
    #[serde(borrow)]
    delta: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Ended<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
}

impl StreamTap {
    fn observe_usage(&mut self, response: Option<&RawValue>) {
        let ended = response.and_then(|response| serde_json::from_str::<Ended<'_>>(response.get()).ok());
        let usage = ended.and_then(|ended| usage_of(ended.usage?.get()));
        self.usage = usage.or(self.usage);
    }
}

impl Tap for StreamTap {
    fn observe(&mut self, event: &Event) -> Chunk {
        let pass = || event.raw().clone();
        let Some(data) = event.data().filter(|data| !data.trim_ascii().is_empty() && data.trim_ascii() != b"[DONE]")
        else {
            return Chunk::Pass(pass());
        };
        let Ok(observed) = serde_json::from_slice::<EventFields<'_>>(&data) else {
            return Chunk::Broken;
        };
        self.next = observed.sequence_number.unwrap_or(self.next).saturating_add(1);
        let kind = observed.kind.as_deref().unwrap_or_default();
        if let Some(delta) = observed.delta {
            self.deltas += 1;
            self.content_bytes += delta.get().len().saturating_sub(2);
        }
        match kind {
            "response.completed" | "response.incomplete" => {
                self.observe_usage(observed.response);
                self.finished = true;
                Chunk::Done(pass())
            }
            "response.failed" => {
                self.observe_usage(observed.response);
                Chunk::Failed(data)
            }
            "error" => Chunk::Failed(data),
            "" if observed.error.is_some() => Chunk::Failed(data),
            _ => Chunk::Pass(pass()),
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn estimated_output(&self) -> u64 {
        let by_bytes = u64::try_from(self.content_bytes.div_ceil(4)).unwrap_or(0);
        by_bytes.max(self.deltas)
    }

    fn finished(&self) -> bool {
        self.finished
    }

    fn error_event(&self, error: &Error) -> Option<Bytes> {
        Some(error_event(error, self.next).into())
    }
}
