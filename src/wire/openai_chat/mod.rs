//! OpenAI Chat Completions: requests, answers, streams and errors, read into the internal form and written from it.

mod answer_read;
mod answer_write;
mod check;
mod custom;
mod error;
mod failure;
mod idiom;
mod messages_read;
mod messages_write;
mod observe;
mod part_read;
mod pieces;
mod prompt_settings;
mod prompted;
mod replay;
mod request_read;
mod request_write;
mod stop;
mod stream_read;
mod stream_write;
#[cfg(test)]
mod tests;
mod thoughts_write;
mod usage;

use bytes::Bytes;
use serde_json::Value;

use idiom::NAME;

pub use prompt_settings::{meant, setting_names, wrong_settings};
pub use prompted::prompt;

use crate::chat::{Emulated, Error, Format, ProofPlaces, Request, Response, Usage};
use crate::wire::asked::{has_any, has_tool, last_user_text};
use crate::wire::capabilities::{Capabilities, UNKNOWN};
use crate::wire::dialect::{
    Addressed, AnswerContext, Asked, BadAnswer, ClientCodec, Observed, ProviderCodec, ReadStream, Tap, WriteStream,
    Written,
};
use crate::wire::json::{Edits, Object};
use crate::wire::openai;
use crate::wire::prompt::{Prompt, Prompted};
use crate::wire::sse::Event;

/// The field for the most tokens to write, at a model of this name; `None` where nothing is known of the model.
#[must_use]
pub fn limit_field(model: &str) -> Option<&'static str> {
    let known = Capabilities::named(model);
    (*known != UNKNOWN).then_some(known.limit)
}

/// OpenAI Chat Completions, and the many servers that speak it.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiChat;

impl ProviderCodec for OpenAiChat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn write_request(&self, request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
        request_write::write_request(request, emulated)
    }

    fn read_response(&self, body: &[u8]) -> Result<Response, BadAnswer> {
        answer_read::read_response(body)
    }

    fn stream_reader(&self) -> Box<dyn ReadStream> {
        Box::new(stream_read::Reader::default())
    }

    fn failure(&self, answer: &Value) -> Option<Error> {
        failure::failure(answer)
    }

    fn usage(&self, answer: &Value) -> Option<Usage> {
        openai::read_usage(&answer.get("usage")?.to_string())
    }
}

impl ClientCodec for OpenAiChat {
    fn read(&self, body: Bytes, _addressed: &Addressed) -> Result<Asked, Error> {
        check::read(body)
    }

    fn pass(&self, asked: &Asked, model: &str) -> Bytes {
        openai::pass(asked, model)
    }

    fn prompted(&self, asked: &Asked, prompt: Prompt) -> Result<Prompted, Error> {
        prompted::prompted(asked, &prompt)
    }

    fn conversation(&self) -> &'static str {
        "messages"
    }

    fn last_user_text(&self, object: &Object) -> String {
        object.get("messages").map(last_user_text).unwrap_or_default()
    }

    fn has_images(&self, object: &Object) -> bool {
        object.get("messages").is_some_and(check::has_images)
    }

    fn proof_places(&self) -> ProofPlaces {
        ProofPlaces { calls: true, texts: false }
    }

    fn acts(&self, object: &Object) -> bool {
        // Searches and plugins of OpenAI, xAI and OpenRouter have fields of their own.
        const ACTING: [&str; 4] = ["web_search_options", "search_parameters", "plugins", "store"];
        let is_run_there = |kind: Option<&str>| kind.is_some_and(|kind| !["function", "custom"].contains(&kind));
        has_any(object, &ACTING) || has_tool(object, is_run_there)
    }

    fn ask_logprobs(&self, object: &Object, edits: &mut Edits) -> bool {
        let is_open = object.get("logprobs") != Some("true");
        if is_open {
            edits.set("logprobs", "true".to_owned());
        }
        is_open
    }

    fn without_logprobs(&self, answer: &mut Value) {
        let choices = answer.get_mut("choices").and_then(Value::as_array_mut);
        for logprobs in choices.into_iter().flatten().filter_map(|choice| choice.get_mut("logprobs")) {
            *logprobs = Value::Null;
        }
    }

    fn format(&self, object: &Object) -> Option<Format> {
        request_read::format(object)
    }

    fn read_request(&self, asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
        request_read::read_request(asked, emulated)
    }

    fn observe(&self, body: &Bytes) -> Result<Observed, BadAnswer> {
        observe::observe(body)
    }

    fn tap(&self, keep_usage: bool) -> Box<dyn Tap> {
        Box::new(openai::StreamTap::new(keep_usage))
    }

    fn write_response(&self, response: &Response, context: &AnswerContext) -> Bytes {
        answer_write::write_response(response, context)
    }

    fn stream_writer(&self, context: &AnswerContext) -> Box<dyn WriteStream> {
        Box::new(stream_write::Writer::new(context))
    }

    fn error_body(&self, error: &Error, _request_id: &str) -> Bytes {
        openai::error_body(error)
    }

    fn error_event(&self, error: &Error) -> Bytes {
        error::error_event(error)
    }

    // These two keep unknown fields, which the internal form does not have.
    fn as_stream(&self, body: &[u8], context: &AnswerContext) -> Result<Bytes, BadAnswer> {
        replay::as_stream(body, context.include_usage)
    }

    fn as_whole(&self, events: &[Event], _: &AnswerContext) -> Result<Bytes, BadAnswer> {
        replay::as_whole(events)
    }
}
