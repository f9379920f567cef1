//! Observes answers and streams that pass unchanged.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::error::error_event;
use super::usage::read_usage;
use crate::chat::{Error, Tier, Usage};
use crate::wire::dialect::{BadAnswer, Chunk, Observed, Tap};
use crate::wire::json::{Object, fields, items};
use crate::wire::sse::Event;
use crate::wire::{token_estimate, written};

/// Observes a whole answer.
///
/// # Errors
/// Where the body is no answer.
pub(super) fn observe(body: &Bytes) -> Result<Observed, BadAnswer> {
    let object = Object::read_answer(body.clone())?;
    if !object.get("output").is_some_and(|output| output.starts_with('[')) {
        return Err(BadAnswer("it has no `output`".to_owned()));
    }
    let ended = match object.get("status") {
        None | Some("\"completed\"") => !object.get("output").is_some_and(refuses),
        Some("\"incomplete\"") => object.get("incomplete_details").is_none_or(is_length),
        Some(_) => false,
    };
    Ok(Observed {
        usage: object
            .get("usage")
            .and_then(usage_of)
            .map(|usage| served(usage, object.get("service_tier"), object.get("output"))),
        ended_well: ended && object.get("error").is_none_or(|error| error == "null"),
    })
}

/// Whether an answer is incomplete because of the request's limit, and nothing else.
fn is_length(details: &str) -> bool {
    let mut reasons = fields(details).filter(|(name, value)| *name == "reason" && *value != "null");
    !details.starts_with('{') || reasons.all(|(_, reason)| reason == "\"max_output_tokens\"")
}

/// Whether an output has a refusal in it.
fn refuses(output: &str) -> bool {
    let is_refusal =
        |part: &str| part.starts_with('{') && fields(part).any(|(name, kind)| name == "type" && kind == "\"refusal\"");
    let has_refusal = |item: &str| {
        let lists = fields(item).filter(|(name, list)| *name == "content" && list.starts_with('['));
        item.starts_with('{') && lists.into_iter().any(|(_, list)| items(list).any(is_refusal))
    };
    output.contains("\"refusal\"") && items(output).any(has_refusal)
}

/// The same tokens with what beside them decides the price: the tier that served, and hosted tools, whose calls have fees.
fn served(usage: Usage, tier: Option<&str>, output: Option<&str>) -> Usage {
    let mut usage = usage.in_tier(Tier::of_json(tier));
    let output = output.filter(|output| output.starts_with('[') && output.contains("_call\""));
    for item in output.into_iter().flat_map(items).filter(|item| item.starts_with('{')) {
        match fields(item).find(|(name, _)| *name == "type").map_or("", |(_, kind)| kind) {
            "\"web_search_call\"" => usage.service.searches += 1,
            "\"file_search_call\"" | "\"code_interpreter_call\"" | "\"image_generation_call\"" => {
                usage.service.has_other_fees = true;
            }
            _ => {}
        }
    }
    usage
}

fn usage_of(json: &str) -> Option<Usage> {
    read_usage(&serde_json::from_str(json).ok()?)
}

/// Observes a stream.
#[derive(Debug, Default)]
pub(super) struct StreamTap {
    usage: Option<Usage>,
    next: u64,
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
    item: Option<&'a RawValue>,
    #[serde(borrow)]
    response: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Ended<'a> {
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

impl StreamTap {
    fn observe_usage(&mut self, response: Option<&RawValue>) {
        let ended = response.and_then(|response| serde_json::from_str::<Ended<'_>>(response.get()).ok());
        let usage = ended.and_then(|ended| {
            let usage = usage_of(ended.usage?.get())?;
            Some(served(usage, ended.service_tier.map(RawValue::get), ended.output.map(RawValue::get)))
        });
        self.usage = usage.map(|usage| usage.after(self.usage)).or(self.usage);
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
        if let Some(delta) = observed.delta.filter(|_| !kind.starts_with("response.audio")) {
            self.content_bytes += written::of_json(delta.get());
        }
        match kind {
            "response.output_item.added" => {
                let names = observed.item.map(|item| fields(item.get()).filter(|(name, _)| *name == "name"));
                self.content_bytes +=
                    names.into_iter().flatten().map(|(_, name)| written::of_json(name)).sum::<usize>();
                Chunk::Pass(pass())
            }
            "response.completed" | "response.incomplete" => {
                self.observe_usage(observed.response);
                self.finished = true;
                Chunk::Done(pass())
            }
            "response.failed" | "response.cancelled" => {
                self.observe_usage(observed.response);
                Chunk::Failed(data)
            }
            "error" => Chunk::Failed(data),
            "" if observed.error.is_some() => Chunk::Failed(data),
            _ => {
                // An answer that has begun seldom has counts.
                if observed.response.is_some() && memmem::find(&data, b"\"input_tokens\"").is_some() {
                    self.observe_usage(observed.response);
                }
                Chunk::Pass(pass())
            }
        }
    }

    fn usage(&self) -> Option<Usage> {
        self.usage
    }

    fn estimated_output(&self) -> u64 {
        token_estimate::of_bytes(self.content_bytes)
    }

    fn finished(&self) -> bool {
        self.finished
    }

    fn error_event(&self, error: &Error) -> Option<Bytes> {
        Some(error_event(error, self.next).into())
    }
}
