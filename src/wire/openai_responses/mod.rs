//! OpenAI Responses: requests, answers, streams and errors, read into the internal form and written from it.

mod answer;
mod answer_read;
mod answer_write;
mod check;
mod custom;
mod error;
mod idiom;
mod item;
mod items_read;
mod items_write;
mod observe;
mod part_read;
mod part_write;
mod prompted;
mod replay;
mod request_read;
mod request_write;
mod stream_read;
mod stream_write;
#[cfg(test)]
mod tests;
mod usage;

use bytes::Bytes;
use serde_json::Value;

use idiom::NAME;

use crate::chat::{Emulated, Error, Format, Maker, Request, Response, Usage};
use crate::wire::asked::{has_any, has_tool};
use crate::wire::dialect::{
    Addressed, AnswerContext, Asked, BadAnswer, ClientCodec, Observed, ProviderCodec, ReadStream, Tap, WriteStream,
    Written,
};
use crate::wire::json::{Edits, Object};
use crate::wire::openai;
use crate::wire::prompt::{Prompt, Prompted};
use crate::wire::sse::Event;

/// What `include` asks for log-probabilities by.
const LOGPROBS: &str = "message.output_text.logprobs";

/// OpenAI Responses. Fulcrum stores no conversations: each request brings the whole conversation.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiResponses;

impl ProviderCodec for OpenAiResponses {
    fn name(&self) -> &'static str {
        NAME
    }

    fn write_request(&self, request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
        request_write::write_request(request, emulated)
    }

    fn read_response(&self, body: &[u8]) -> Result<Response, BadAnswer> {
        answer_read::read_response(body)
    }

    fn maker(&self) -> Maker {
        Maker::OpenAi
    }

    fn stream_reader(&self) -> Box<dyn ReadStream> {
        Box::new(stream_read::Reader::default())
    }

    fn failure(&self, answer: &Value) -> Option<Error> {
        answer_read::failure(answer)
    }

    fn usage(&self, answer: &Value) -> Option<Usage> {
        usage::read_usage(answer.get("usage")?)
    }
}

impl ClientCodec for OpenAiResponses {
    fn read(&self, body: Bytes, _: &Addressed) -> Result<Asked, Error> {
        check::read(body)
    }

    fn pass(&self, asked: &Asked, model: &str) -> Bytes {
        asked.with_model(model)
    }

    fn reads_all(&self, asked: &Asked, request: &Request) -> bool {
        request_read::reads_all(&asked.object, request)
    }

    fn prompted(&self, asked: &Asked, prompt: Prompt) -> Result<Prompted, Error> {
        prompted::prompted(asked, prompt.said()?)
    }

    fn conversation(&self) -> &'static str {
        "input"
    }

    fn last_user_text(&self, object: &Object) -> String {
        object.get("input").map(check::last_user_text).unwrap_or_default()
    }

    fn has_images(&self, object: &Object) -> bool {
        object.get("input").is_some_and(|input| memchr::memmem::find(input.as_bytes(), b"\"input_image\"").is_some())
    }

    fn acts(&self, object: &Object) -> bool {
        let is_run_there = |kind: Option<&str>| kind.is_none_or(|kind| !["function", "custom"].contains(&kind));
        // What goes on from a stored answer is stored too, unless the request forbids that.
        let goes_on = has_any(object, &["previous_response_id"]) && object.get("store") != Some("false");
        goes_on || has_any(object, &["store", "conversation", "background"]) || has_tool(object, is_run_there)
    }

    fn bound(&self, _: &Object, (_, most): (&str, u64), edits: &mut Edits) {
        edits.set("max_output_tokens", most.to_string());
    }

    fn ask_logprobs(&self, object: &Object, edits: &mut Edits) -> bool {
        let mut include: Vec<Value> =
            object.get("include").and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default();
        let is_open = !include.iter().any(|name| name == LOGPROBS);
        if is_open {
            include.push(LOGPROBS.into());
            edits.set("include", Value::from(include).to_string());
        }
        is_open
    }

    fn without_logprobs(&self, answer: &mut Value) {
        let items = answer.get_mut("output").and_then(Value::as_array_mut).into_iter().flatten();
        let parts = items.filter_map(|item| item.get_mut("content")?.as_array_mut()).flatten();
        for logprobs in parts.filter_map(|part| part.get_mut("logprobs")) {
            *logprobs = Value::Array(Vec::new());
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

    fn tap(&self, _: bool) -> Box<dyn Tap> {
        Box::new(observe::StreamTap::default())
    }

    fn write_response(&self, response: &Response, context: &AnswerContext) -> Bytes {
        answer_write::write_response(response, context)
    }

    fn stream_writer(&self, context: &AnswerContext) -> Box<dyn WriteStream> {
        Box::new(stream_write::Writer::new(context))
    }

    fn error_body(&self, error: &Error, _: &str) -> Bytes {
        openai::error_body(error)
    }

    fn error_event(&self, error: &Error) -> Bytes {
        error::error_event(error, 0).into()
    }

    // These two keep unknown fields and items, which the internal form does not have.
    fn as_stream(&self, body: &[u8], _: &AnswerContext) -> Result<Bytes, BadAnswer> {
        replay::as_stream(body)
    }

    fn as_whole(&self, events: &[Event], _: &AnswerContext) -> Result<Bytes, BadAnswer> {
        answer_read::as_whole(events)
    }
}
