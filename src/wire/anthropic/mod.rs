//! Anthropic Messages: requests, answers, streams and errors.

mod answer_read;
mod answer_write;
mod check;
mod citation;
mod count;
mod error;
mod idiom;
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
mod turns;
mod usage;

use bytes::Bytes;
use serde_json::Value;

use super::dialect::{
    Addressed, AnswerContext, Asked, BadAnswer, ClientCodec, Observed, ProviderCodec, ReadStream, Tap, WriteStream,
    Written,
};
use super::json::{Edits, Object};
use super::prompt::{Prompt, Prompted};
use super::sse::Event;
use crate::chat::{Emulated, Error, Format, Maker, NameRule, Request, Response, Structured, Usage};
use crate::wire::asked::{has_any, has_tool, last_user_text};
use crate::wire::claude_schema;

pub use count::{count_answer, read_count, read_count_request};

/// The messages, of these of the system, that a model of this name does not take where they stand in a list of messages.
#[must_use]
pub fn misplaced_systems(messages: &str, places: &[usize], model: &str) -> Vec<usize> {
    turns::misplaced(messages, places, model)
}

/// The dialect of Anthropic's Messages API.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anthropic;

impl ProviderCodec for Anthropic {
    fn name(&self) -> &'static str {
        idiom::NAME
    }

    fn write_request(&self, request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
        request_write::write_request(request, emulated)
    }

    fn read_response(&self, body: &[u8]) -> Result<Response, BadAnswer> {
        answer_read::read_response(body)
    }

    fn maker(&self) -> Maker {
        Maker::Anthropic
    }

    fn tool_names(&self) -> NameRule {
        NameRule::plain(128)
    }

    fn structured(&self, request: &mut Request) -> Structured {
        claude_schema::structured(request)
    }

    fn stream_reader(&self) -> Box<dyn ReadStream> {
        Box::new(stream_read::Reader::default())
    }

    fn failure(&self, answer: &Value) -> Option<Error> {
        error::failure(answer)
    }

    fn usage(&self, answer: &Value) -> Option<Usage> {
        usage::read_usage(answer.get("usage")?)
    }
}

impl ClientCodec for Anthropic {
    fn headers(&self) -> &'static [&'static str] {
        &["anthropic-version", "anthropic-beta"]
    }

    fn header_counts(&self, name: &str, value: &[u8]) -> bool {
        name != "anthropic-version" || !request_write::VERSIONS.iter().any(|version| version.as_bytes() == value)
    }

    fn read(&self, body: Bytes, _: &Addressed) -> Result<Asked, Error> {
        check::read(body, true)
    }

    fn pass(&self, asked: &Asked, model: &str) -> Bytes {
        asked.with_model(model)
    }

    fn reads_all(&self, asked: &Asked, _: &Request) -> bool {
        request_read::reads_all(&asked.object)
    }

    fn prompted(&self, asked: &Asked, prompt: Prompt) -> Result<Prompted, Error> {
        prompted::prompted(asked, prompt.said()?)
    }

    fn conversation(&self) -> &'static str {
        "messages"
    }

    fn last_user_text(&self, object: &Object) -> String {
        last_user_text(object.get("messages").unwrap_or("[]"))
    }

    fn has_images(&self, object: &Object) -> bool {
        check::has_images(object.get("messages").unwrap_or_default())
    }

    fn acts(&self, object: &Object) -> bool {
        // Tools of Anthropic's that the caller runs; their names end in a date.
        const CALLERS: [&str; 4] = ["bash_", "text_editor_", "computer_", "memory_"];
        let is_run_there = |kind: &str| kind != "custom" && !CALLERS.iter().any(|callers| kind.starts_with(callers));
        has_any(object, &["mcp_servers"]) || has_tool(object, |kind| kind.is_some_and(is_run_there))
    }

    fn bound(&self, _: &Object, (_, most): (&str, u64), edits: &mut Edits) {
        edits.set("max_tokens", most.to_string());
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

    fn can_express(&self, response: &Response) -> Result<(), BadAnswer> {
        answer_write::can_express(response)
    }
    fn write_response(&self, response: &Response, context: &AnswerContext) -> Bytes {
        answer_write::write_response(response, context)
    }

    fn stream_writer(&self, context: &AnswerContext) -> Box<dyn WriteStream> {
        Box::new(stream_write::Writer::new(context))
    }

    fn error_body(&self, error: &Error, request_id: &str) -> Bytes {
        error::error_body(error, request_id)
    }

    fn error_event(&self, error: &Error) -> Bytes {
        error::error_event(error)
    }

    // Unlike the way through the internal form, these two keep unknown fields.
    fn as_stream(&self, body: &[u8], _context: &AnswerContext) -> Result<Bytes, BadAnswer> {
        replay::as_stream(body)
    }

    fn as_whole(&self, events: &[Event], _context: &AnswerContext) -> Result<Bytes, BadAnswer> {
        replay::as_whole(events)
    }
}
