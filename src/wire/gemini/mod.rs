//! Gemini's generateContent. The model, and whether the answer streams, stand in the address.

mod answer_read;
mod answer_write;
mod bounds;
mod check;
mod count;
mod embed;
mod error;
mod idiom;
mod logprobs;
mod observe;
mod part_read;
mod part_write;
mod prompted;
mod replay;
mod request_read;
mod request_write;
mod schema;
mod stop;
mod stream_read;
mod stream_write;
#[cfg(test)]
mod tests;
mod thought;
mod usage;

use bytes::Bytes;
use serde_json::{Map, Value, json};

pub use count::{count_answer, counts};
pub use embed::{embed_of, pass_embed, read_embed, read_vectors, write_embed, write_vectors};

use crate::chat::{Emulated, Error, Format, Maker, NameRule, ProofPlaces, Request, Response, Role, Structured, Usage};
use crate::wire::dialect::{
    Addressed, AnswerContext, Asked, BadAnswer, ClientCodec, Observed, ProviderCodec, ReadStream, Tap, WriteStream,
    Written,
};
use crate::wire::exact_numbers;
use crate::wire::json::{Edits, Object};
use crate::wire::prompt::{Prompt, Prompted};
use crate::wire::sse::Event;

/// The dialect of Gemini's generateContent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gemini;

impl ProviderCodec for Gemini {
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
        Maker::Google
    }

    fn tool_names(&self) -> NameRule {
        let plain = NameRule::plain(64);
        let fits: fn(char) -> bool = |letter| letter.is_ascii_alphanumeric() || "_.:-".contains(letter);
        NameRule { fits, begins: |letter| letter.is_ascii_alphabetic() || letter == '_', ..plain }
    }

    fn structured(&self, request: &mut Request) -> Structured {
        request_write::structured(request)
    }

    fn stream_reader(&self) -> Box<dyn ReadStream> {
        Box::new(stream_read::Reader::default())
    }

    fn failure(&self, answer: &Value) -> Option<Error> {
        stop::failure(answer)
    }

    fn usage(&self, answer: &Value) -> Option<Usage> {
        usage::read_usage(&exact_numbers::write(answer.get("usageMetadata")?))
    }
}

/// The field of a request's settings by the name that it has there, and the settings.
fn generation_config(object: &Object) -> (&'static str, Map<String, Value>) {
    let name = ["generation_config", "generationConfig"].into_iter().find(|name| object.get(name).is_some());
    let name = name.unwrap_or("generationConfig");
    let config = object.get(name).and_then(|json| serde_json::from_str(json).ok());
    (name, config.unwrap_or_default())
}

impl ClientCodec for Gemini {
    fn read(&self, body: Bytes, addressed: &Addressed) -> Result<Asked, Error> {
        check::read(body, addressed)
    }

    fn pass(&self, asked: &Asked, _model: &str) -> Bytes {
        prompted::pass(asked)
    }

    fn reads_all(&self, asked: &Asked, _: &Request) -> bool {
        request_read::reads_all(&asked.object)
    }

    fn prompted(&self, asked: &Asked, prompt: Prompt) -> Result<Prompted, Error> {
        prompted::prompted(asked, prompt.said()?)
    }

    fn conversation(&self) -> &'static str {
        "contents"
    }

    fn last_user_text(&self, object: &Object) -> String {
        check::last_user_text(object)
    }

    fn has_images(&self, object: &Object) -> bool {
        check::has_images(object)
    }

    fn proof_places(&self) -> ProofPlaces {
        ProofPlaces::ALL
    }

    fn turn(&self, role: Role, text: &str) -> Value {
        let role = if role == Role::Assistant { "model" } else { "user" };
        json!({"role": role, "parts": [{"text": text}]})
    }

    fn acts(&self, object: &Object) -> bool {
        let Some(json) = object.get("tools").filter(|json| *json != "null") else { return false };
        let Ok(tools) = serde_json::from_str::<Value>(json) else { return true };
        let tools = tools.as_array().map_or_else(|| vec![&tools], |tools| tools.iter().collect());
        let mut fields = tools.into_iter().filter_map(Value::as_object).flatten();
        let declares = |name: &str| ["functionDeclarations", "function_declarations"].contains(&name);
        fields.any(|(name, tool)| !declares(name) && !tool.is_null())
    }

    fn bound(&self, object: &Object, (_, most): (&str, u64), edits: &mut Edits) {
        let (name, mut config) = generation_config(object);
        config.shift_remove("max_output_tokens");
        config.insert("maxOutputTokens".to_owned(), most.into());
        edits.set(name, Value::from(config).to_string());
    }

    fn ask_logprobs(&self, object: &Object, edits: &mut Edits) -> bool {
        let (name, mut config) = generation_config(object);
        let names = ["responseLogprobs", "response_logprobs"];
        let is_open = !names.iter().any(|name| config.get(*name) == Some(&Value::Bool(true)));
        if is_open {
            names.iter().for_each(|name| drop(config.shift_remove(*name)));
            config.insert(names[0].to_owned(), true.into());
            edits.set(name, Value::from(config).to_string());
        }
        is_open
    }

    fn without_logprobs(&self, answer: &mut Value) {
        let candidates = answer.get_mut("candidates").and_then(Value::as_array_mut);
        for candidate in candidates.into_iter().flatten().filter_map(Value::as_object_mut) {
            candidate.shift_remove("logprobsResult");
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

    fn tap(&self, _keep_usage: bool) -> Box<dyn Tap> {
        Box::new(observe::StreamTap::default())
    }

    fn write_response(&self, response: &Response, context: &AnswerContext) -> Bytes {
        answer_write::write_response(response, context)
    }

    fn stream_writer(&self, context: &AnswerContext) -> Box<dyn WriteStream> {
        Box::new(stream_write::Writer::new(context))
    }

    fn error_body(&self, error: &Error, _request_id: &str) -> Bytes {
        error::error_body(error)
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
