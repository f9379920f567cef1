//! Usage and endings, read from answers and streams that pass as they are.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::stop::of_reason;
use super::stream_read::json_of;
use super::usage::{Counts, read_usage, searches_in};
use crate::chat::Usage;
use crate::wire::dialect::{BadAnswer, Chunk, Observed, Tap};
use crate::wire::json::{Object, fields, items};
use crate::wire::sse::Event;
use crate::wire::{token_estimate, written};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    #[serde(borrow, default)]
    candidates: Option<Vec<Candidate<'a>>>,
    #[serde(borrow, default)]
    usage_metadata: Option<&'a RawValue>,
    #[serde(borrow, default)]
    prompt_feedback: Option<Feedback<'a>>,
    #[serde(borrow, default)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(default)]
    index: Option<usize>,
    #[serde(borrow, default)]
    finish_reason: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    content: Option<&'a RawValue>,
    #[serde(borrow, default)]
    grounding_metadata: Option<&'a RawValue>,
}

impl Candidate<'_> {
    fn searches(&self) -> u64 {
        self.grounding_metadata.map_or(0, |grounding| searches_in(grounding.get()))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Feedback<'a> {
    #[serde(borrow, default)]
    block_reason: Option<Cow<'a, str>>,
}

/// Reads what the ledger needs of an answer.
pub(super) fn observe(body: &Bytes) -> Result<Observed, BadAnswer> {
    let object = Object::read_answer(body.clone())?;
    if object.get("candidates").is_none() && object.get("promptFeedback").is_none() {
        return Err(BadAnswer("it has no `candidates`".to_owned()));
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| BadAnswer::unread(&error))?;
    let candidates = answer.candidates.unwrap_or_default();
    let well = |candidate: &Candidate<'_>| matches!(candidate.finish_reason.as_deref(), Some("STOP" | "MAX_TOKENS"));
    let searches = candidates.iter().map(Candidate::searches).sum();
    Ok(Observed {
        usage: answer.usage_metadata.and_then(|usage| read_usage(usage.get())).map(|usage| usage.searched(searches)),
        ended_well: !candidates.is_empty()
            && candidates.iter().all(well)
            && object.get("error").is_none_or(|error| error == "null"),
    })
}

/// Reads what the ledger needs of a stream. Usage stays in the stream: Google sends it to every caller.
#[derive(Debug, Default)]
pub(super) struct StreamTap {
    counts: Option<Counts>,
    content_bytes: usize,
    /// The most searches that a chunk shows: later ones say again what came before.
    searches: u64,
    /// For each candidate so far, whether its finish reason came.
    finished: Vec<bool>,
}

impl Tap for StreamTap {
    fn observe(&mut self, event: &Event) -> Chunk {
        let Some(data) = json_of(event) else {
            return Chunk::Pass(event.raw().clone());
        };
        let Ok(chunk) = serde_json::from_slice::<Answer<'_>>(&data) else {
            return Chunk::Broken;
        };
        if let Some(counts) = chunk.usage_metadata.and_then(|usage| Counts::read(usage.get())) {
            self.counts = Some(counts.after(self.counts));
        }
        if chunk.error.is_some_and(|error| error.get() != "null") {
            return Chunk::Failed(data);
        }
        for (place, candidate) in chunk.candidates.into_iter().flatten().enumerate() {
            self.observe_candidate(place, &candidate);
            if let Some(reason) = &candidate.finish_reason
                && of_reason(reason, self.content_bytes == 0).is_some()
            {
                return Chunk::Failed(data);
            }
        }
        if chunk.prompt_feedback.is_some_and(|feedback| feedback.block_reason.is_some()) && self.finished.is_empty() {
            self.finished.push(true);
        }
        Chunk::Pass(event.raw().clone())
    }

    /// The usage reported; before the last report, the output is what came so far.
    fn usage(&self) -> Option<Usage> {
        let reported = self.counts?.usage().searched(self.searches);
        if self.finished() {
            return Some(reported);
        }
        Some(Usage { output: reported.output.max(self.estimated_output()), estimated: true, ..reported })
    }

    fn estimated_output(&self) -> u64 {
        token_estimate::of_bytes(self.content_bytes)
    }

    fn finished(&self) -> bool {
        !self.finished.is_empty() && self.finished.iter().all(|finished| *finished)
    }

    fn may_end_here(&self) -> bool {
        self.finished()
    }
}

impl StreamTap {
    fn observe_candidate(&mut self, place: usize, candidate: &Candidate<'_>) {
        self.content_bytes += candidate.content.map_or(0, |content| written_in(content.get()));
        self.searches = self.searches.max(candidate.searches());
        let place = candidate.index.unwrap_or(place).min(127);
        if self.finished.len() <= place {
            self.finished.resize(place + 1, false);
        }
        self.finished[place] |= candidate.finish_reason.as_deref().is_some_and(|reason| !reason.is_empty());
    }
}

/// What a candidate's `content` has that the model wrote, in bytes.
fn written_in(content: &str) -> usize {
    let part = |part: &str| -> usize {
        let of_field = |(name, value): (&str, &str)| match name {
            "text" => written::of_json(value),
            "functionCall" => fields(value).map(of_call).sum(),
            _ => 0,
        };
        fields(part).filter(|_| part.starts_with('{')).map(of_field).sum()
    };
    let parts = fields(content).filter(|(name, value)| *name == "parts" && value.starts_with('['));
    parts.flat_map(|(_, list)| items(list)).map(part).sum()
}

fn of_call((name, value): (&str, &str)) -> usize {
    match name {
        "name" => written::of_json(value),
        "args" => value.len(),
        _ => 0,
    }
}
