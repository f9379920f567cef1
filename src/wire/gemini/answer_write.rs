//! A whole answer, written for a caller, and the parts of it that a stream's chunks have too.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::logprobs::write_logprobs;
use super::part_write::write_part;
use super::stop::write_stop;
use super::usage::write_usage;
use crate::chat::{Citation, Content, Emulated, Part, Response, Stop, Usage};
use crate::wire::dialect::AnswerContext;
use crate::wire::exact_numbers;
use crate::wire::fields::{self, Path};

/// Google's own reason where a model wrote arguments that are no JSON.
const MALFORMED: &str = "MALFORMED_FUNCTION_CALL";

/// A whole answer.
pub(super) fn write_response(response: &Response, context: &AnswerContext) -> Bytes {
    let mut candidates = Vec::with_capacity(response.choices.len());
    for (index, choice) in response.choices.iter().enumerate() {
        let mut ending = Ending::default();
        let mut parts = Vec::with_capacity(choice.parts.len());
        for part in &choice.parts {
            if let Content::Text { citations, .. } = &part.content {
                ending.citations.extend(citations.iter().cloned());
            }
            parts.extend(ending.part(part));
        }
        ending.logprobs.clone_from(&choice.logprobs);
        let mut candidate = json!({"content": {"parts": parts, "role": "model"}});
        ending.finish(&mut candidate, choice.stop.as_ref());
        candidate["index"] = index.into();
        candidates.push(candidate);
    }
    let mut head = Head::new(context);
    head.begin(&response.id, &response.model);
    head.usage = response.usage;
    exact_numbers::write(&head.answer(&candidates)).into()
}

/// The fields that every chunk of an answer repeats.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) usage: Option<Usage>,
}

impl Head {
    pub(super) fn new(context: &AnswerContext) -> Self {
        Self { id: context.id.clone(), model: context.model.clone(), usage: None }
    }

    /// Takes the provider's id, and its model where the caller named none.
    pub(super) fn begin(&mut self, id: &str, model: &str) {
        if !id.is_empty() {
            id.clone_into(&mut self.id);
        }
        if self.model.is_empty() {
            model.clone_into(&mut self.model);
        }
    }

    pub(super) fn answer(&self, candidates: &[Value]) -> Value {
        let mut answer = json!({"candidates": candidates});
        if let Some(usage) = &self.usage {
            answer["usageMetadata"] = write_usage(usage);
        }
        answer["modelVersion"] = self.model.as_str().into();
        answer["responseId"] = self.id.as_str().into();
        answer
    }
}

/// What a candidate has at its end.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) stop: Option<Stop>,
    malformed: Option<String>,
    pub(super) citations: Vec<Citation>,
    pub(super) logprobs: Option<Value>,
}

impl Ending {
    /// Writes a part; a call whose arguments are no object is reported at the end instead.
    pub(super) fn part(&mut self, part: &Part) -> Option<Value> {
        if let Content::ToolCall { name, arguments, .. } = &part.content
            && fields::arguments(arguments).is_none()
        {
            self.malformed = Some(format!("Malformed function call: {name}({arguments})"));
            return None;
        }
        // A part that only another provider reads is left out.
        write_part(Path::of("parts"), part, true, &mut Emulated::default()).ok().flatten()
    }

    pub(super) fn finish(&self, candidate: &mut Value, stop: Option<&Stop>) {
        // A call that the limit cut off is not malformed.
        let cut = matches!(stop, Some(Stop::Length | Stop::Context));
        if let Some(message) = self.malformed.as_ref().filter(|_| !cut) {
            candidate["finishReason"] = MALFORMED.into();
            candidate["finishMessage"] = message.as_str().into();
        } else if let Some(stop) = stop {
            candidate["finishReason"] = write_stop(stop).into();
        }
        let cited: Vec<Value> = self.citations.iter().filter_map(write_citation).collect();
        if !cited.is_empty() {
            candidate["citationMetadata"] = json!({"citationSources": cited});
        }
        if let Some(logprobs) = &self.logprobs {
            candidate["logprobsResult"] = write_logprobs(logprobs);
        }
    }
}

/// A citation of a page; one of a document has no place here.
fn write_citation(citation: &Citation) -> Option<Value> {
    let mut out = Map::new();
    out.insert("uri".to_owned(), citation.url.as_deref()?.into());
    if let Some(title) = &citation.title {
        out.insert("title".to_owned(), title.as_str().into());
    }
    Some(out.into())
}
