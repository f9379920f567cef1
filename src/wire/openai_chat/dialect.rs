//! OpenAI Chat Completions as a dialect.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::request_reader::read_request;
use super::request_writer::write_request;
use super::response_reader::read_response;
use super::response_writer::write_response;
use super::stream_reader::Reader;
use super::stream_writer::Writer;
use super::{BadReplay, NAME, StreamTap};
use crate::chat::{Emulated, Error, Format, Request, Response};
use crate::wire::dialect::{
    Addressed, AnswerContext, Asked, BadAnswer, ClientCodec, Observed, ProviderCodec, ReadStream, Tap, WriteStream,
    Written,
};
use crate::wire::json::{Edits, Object, quoted};
use crate::wire::sse::Event;

/// OpenAI Chat Completions, and the many servers that speak it.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiChat;

/// The two names of one field: a request that sets either has set both.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// The prefix of `model` that names a prompt.
const PROMPT: &str = "prompt/";

impl ProviderCodec for OpenAiChat {
    fn name(&self) -> &'static str {
        NAME
    }

    fn write_request(&self, request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
        write_request(request, emulated)
    }

    fn read_response(&self, body: &[u8]) -> Result<Response, BadAnswer> {
        read_response(body)
    }

    fn stream_reader(&self) -> Box<dyn ReadStream> {
        Box::new(Reader::default())
    }
}

impl ClientCodec for OpenAiChat {
    fn read(&self, body: Bytes, _addressed: &Addressed) -> Result<Asked, Error> {
        super::read(body)
    }

    fn pass(&self, asked: &Asked, model: &str) -> Bytes {
        let mut edits = Edits::default();
        edits.set("model", quoted(model));
        if asked.stream && !asked.include_usage {
            let options = asked.object.get("stream_options").and_then(|json| serde_json::from_str(json).ok());
            let mut options: Map<String, Value> = options.unwrap_or_default();
            options.insert("include_usage".to_owned(), true.into());
            edits.set("stream_options", Value::from(options).to_string());
        }
        asked.object.edited(&edits)
    }

    fn prompted(&self, asked: &Asked, prompt: &Object) -> Result<Bytes, Error> {
        let names_model = !asked.model.is_empty() && !asked.model.starts_with(PROMPT);
        if !names_model && prompt.get("model").is_none() {
            return Err(Error::field("model", "the prompt names no model, so the request must name one"));
        }
        let mut edits = Edits::default();
        let own = asked.object.get("messages").unwrap_or("[]");
        edits.set("messages", joined(prompt.get("messages").unwrap_or("[]"), own));
        edits.remove("prompt");
        for (name, json) in prompt.iter().filter(|(name, _)| *name != "messages") {
            let is_own = if name == "model" { names_model } else { asked.object.get(name).is_some() };
            let is_replaced = LIMITS.contains(&name) && asked.max_tokens.is_some();
            if !is_own && !is_replaced {
                edits.set(name, json.to_owned());
            }
        }
        Ok(asked.object.edited(&edits))
    }

    fn conversation(&self) -> &'static str {
        "messages"
    }

    fn last_user_text(&self, object: &Object) -> String {
        object.get("messages").map(super::last_user_text).unwrap_or_default()
    }

    fn has_images(&self, object: &Object) -> bool {
        object.get("messages").is_some_and(super::has_images)
    }

    fn format(&self, object: &Object) -> Option<Format> {
        super::request_reader::format(object)
    }

    fn read_request(&self, asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
        read_request(asked, emulated)
    }

    fn observe(&self, body: &Bytes) -> Result<Observed, BadAnswer> {
        super::observe(body)
    }

    fn tap(&self, keep_usage: bool) -> Box<dyn Tap> {
        Box::new(StreamTap::new(keep_usage))
    }

    fn write_response(&self, response: &Response, told: &AnswerContext) -> Bytes {
        write_response(response, told)
    }

    fn stream_writer(&self, told: &AnswerContext) -> Box<dyn WriteStream> {
        Box::new(Writer::new(told))
    }

    fn error_body(&self, error: &Error, _request_id: &str) -> Bytes {
        super::error_body(error)
    }

    fn error_event(&self, error: &Error) -> Bytes {
        super::error_event(error)
    }

    // Unlike the way through the internal form, these two keep fields that nobody knows.
    fn as_stream(&self, body: &[u8], told: &AnswerContext) -> Result<Bytes, BadAnswer> {
        Ok(super::as_stream(body, told.include_usage)?)
    }

    fn as_whole(&self, events: &[Event], _told: &AnswerContext) -> Result<Bytes, BadAnswer> {
        Ok(super::as_whole(events)?)
    }
}

impl From<BadReplay> for BadAnswer {
    fn from(bad: BadReplay) -> Self {
        Self(bad.to_string())
    }
}

/// The prompt's messages and the caller's, as one JSON list.
fn joined(prompt: &str, own: &str) -> String {
    let inner = |list: &str| {
        let list = list.trim().strip_prefix('[').and_then(|list| list.strip_suffix(']'));
        list.unwrap_or_default().trim().to_owned()
    };
    let (prompt, own) = (inner(prompt), inner(own));
    let comma = if prompt.is_empty() || own.is_empty() { "" } else { "," };
    format!("[{prompt}{comma}{own}]")
}
