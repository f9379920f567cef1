//! What a dialect is: how requests, answers, streams and errors of one API are read into the internal form and written
//! from it. Pure, bytes to meaning and back.

use bytes::Bytes;
use serde_json::{Value, json};

use super::decoder::Decoder;
use super::fields::FieldError;
use super::json::{Object, ObjectError};
use super::prompt::{Prompt, Prompted};
use crate::chat::{
    self, Emulated, Error, Format, Maker, NameRule, ProofPlaces, Request, Response, Role, Structured, Units, Usage,
};

pub use super::asked::{Addressed, Asked, PromptRef};

/// A request as a target gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The body.
    pub body: Bytes,
    /// Headers that its dialect needs with this body, such as `anthropic-version`.
    pub headers: Vec<(&'static str, &'static str)>,
}

/// What a tap observed of a whole answer that passed in the caller's own dialect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The usage that the answer reports, where it is believable.
    pub usage: Option<Usage>,
    /// Whether the model ended the answer itself or by its limit, so that the answer may be stored.
    pub ended_well: bool,
}

/// A 200 whose body is no answer of the dialect.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider answered 200 with a body that is no answer of its dialect: {0}")]
pub struct BadAnswer(pub String);

impl BadAnswer {
    /// What cannot be parsed. The parser's own words name the provider's, or our types, and say nothing to a caller.
    pub(super) fn unread(error: &serde_json::Error) -> Self {
        Self(
            if error.is_data() { "a value is of a type that the dialect has not there" } else { "it is no JSON" }
                .to_owned(),
        )
    }

    /// A part of the answer, such as `a block`, has an unknown type.
    pub(super) fn of_type(thing: &str, kind: &str) -> Self {
        Self(format!("{thing} is of the type `{}`", kind.chars().take(40).collect::<String>()))
    }
}

/// What to do with one event of a stream that passes in its own dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Send these bytes on.
    Pass(Bytes),
    /// Send nothing.
    Drop,
    /// The stream ended as it should. These bytes go down last.
    Done(Bytes),
    /// The provider reports an error: its data.
    Failed(Bytes),
    /// The event is no chunk of the dialect.
    Broken,
}

/// Observes a stream that passes in its own dialect.
pub trait Tap: Send {
    /// Observes one event, and decides what becomes of it.
    fn observe(&mut self, event: &super::sse::Event) -> Chunk;

    /// The usage that the stream reported.
    fn usage(&self) -> Option<Usage>;

    /// What else the stream reported that is charged, such as images.
    fn units(&self) -> Units {
        Units::default()
    }

    /// How many tokens the stream has brought so far, roughly.
    fn estimated_output(&self) -> u64;

    /// Whether the answer itself ended: its finish reason came.
    fn finished(&self) -> bool;

    /// The event that ends the stream after a failure, in a dialect that numbers its events.
    fn error_event(&self, error: &Error) -> Option<Bytes> {
        let _unused = error;
        None
    }

    /// Whether the dialect allows the stream to end after the events that were observed.
    fn may_end_here(&self) -> bool {
        false
    }

    /// How many choices have ended.
    fn ended_choices(&self) -> u64 {
        u64::from(self.finished())
    }

    /// The mark by which a stream of the dialect ends, for one whose provider left the mark out.
    fn end_mark(&self) -> &'static [u8] {
        b""
    }
}

/// Reads a stream of a dialect, event by event.
pub trait ReadStream: Send {
    /// Reads one SSE event; appends what it means to `out`, in the order that [`chat::Event`] asks for.
    ///
    /// # Errors
    /// Where it is no event of the dialect.
    fn read(&mut self, event: &super::sse::Event, out: &mut Vec<chat::Event>) -> Result<(), BadAnswer>;

    /// Takes note that the bytes ended; appends `End` where the dialect ends a stream so.
    fn end(&mut self, out: &mut Vec<chat::Event>);
}

/// Writes a stream of a dialect, event by event.
pub trait WriteStream: Send {
    /// Appends the bytes of one event to `out`. `Failed` becomes the dialect's own error event.
    fn write(&mut self, event: chat::Event, out: &mut Vec<u8>);

    /// Why the answer cannot end well: this dialect has no form for a part of what was written. To be asked before `End` is
    /// written.
    fn fault(&self) -> Option<BadAnswer> {
        None
    }

    /// Notes that no more events come for now: appends what waits for one that belongs to it.
    fn flush(&mut self, out: &mut Vec<u8>) {
        let _unused = out;
    }
}

/// What the writer of an answer must know of its request.
#[derive(Clone, Debug, Default)]
pub struct AnswerContext {
    /// The model's name as the answer shows it.
    pub model: String,
    /// Whether a stream reports usage, in a dialect where a caller has to ask for it.
    pub include_usage: bool,
    /// How many choices the request asks for.
    pub choices: u64,
    /// Estimated tokens of the request, for a dialect whose streams begin with them.
    pub input_tokens: u64,
    /// When the call began, in Unix seconds; stands in where the provider reports no time.
    pub created: i64,
    /// The request's id; stands in where the provider's answer has none.
    pub id: String,
    /// The request, for a dialect whose answers repeat it.
    pub request: Option<Object>,
}

/// One API as providers speak it: requests are written, answers and streams are read.
pub trait ProviderCodec: Send + Sync {
    /// The API's name in messages, such as `Anthropic Messages`.
    fn name(&self) -> &'static str;

    /// A request as a target of this API gets it.
    ///
    /// # Errors
    /// `unsupported_feature` with the field that this API cannot express.
    fn write_request(&self, request: &Request, emulated: &mut Emulated) -> Result<Written, Error>;

    /// A whole answer in the internal form.
    ///
    /// # Errors
    /// Where the body is no answer.
    fn read_response(&self, body: &[u8]) -> Result<Response, BadAnswer>;

    /// What cuts a stream's bytes into events.
    fn decoder(&self) -> Decoder {
        Decoder::default()
    }

    /// Who makes the proofs of reasoning in answers of this API.
    fn maker(&self) -> Maker {
        Maker::Unknown
    }

    /// Which names of tools this API takes.
    fn tool_names(&self) -> NameRule {
        NameRule::plain(64)
    }

    /// How a target of this API keeps to the request's format; that depends on the model and the other fields. For an API
    /// with schemas of its own, the request's schema is rewritten in the form that the API accepts.
    fn structured(&self, request: &mut Request) -> Structured {
        let _unused = request;
        Structured::Native
    }

    /// A reader of this API's streams.
    fn stream_reader(&self) -> Box<dyn ReadStream>;

    /// Why an answer with the status 200 failed all the same: it is an error, or its provider says that it broke off. `None`
    /// where it is an answer, or where nothing is known to be wrong with it.
    fn failure(&self, answer: &Value) -> Option<Error>;

    /// The usage that a whole answer reports, of whatever kind the answer is.
    fn usage(&self, answer: &Value) -> Option<Usage>;
}

/// One API as callers speak it too.
pub trait ClientCodec: ProviderCodec {
    /// Headers of a caller that go up with a request in its own dialect.
    fn headers(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether such a header changes an answer. A header with the default value does not.
    fn header_counts(&self, name: &str, value: &[u8]) -> bool {
        let _unused = (name, value);
        true
    }

    /// Whether `request`, which was read of `asked`, has every field that decides the answer. Then an equal request of
    /// another dialect asks the same. Fields that [`ClientCodec::read_request`] refuses or notes as emulated do not count.
    fn reads_all(&self, asked: &Asked, request: &Request) -> bool {
        let _unused = (asked, request);
        true
    }

    /// Reads and checks a caller's body.
    ///
    /// # Errors
    /// A 400 that names the field at fault.
    fn read(&self, body: Bytes, addressed: &Addressed) -> Result<Asked, Error>;

    /// The body for a target of this dialect: the caller's, with the target's model, and with usage asked for in streams.
    fn pass(&self, asked: &Asked, model: &str) -> Bytes;

    /// The caller's request with a prompt in front, which this dialect writes in one pass and does not read again. Its
    /// messages go before the caller's own, its system text before the caller's system text, its settings where the
    /// caller has none; the field `prompt` goes out, and `model` is what the prompt says.
    ///
    /// # Errors
    /// Where the prompt is wrong, this dialect cannot say its messages, or the two cannot be joined.
    fn prompted(&self, asked: &Asked, prompt: Prompt) -> Result<Prompted, Error>;

    /// The field that holds the conversation: `messages`, `input` or `contents`.
    fn conversation(&self) -> &'static str;

    /// The text of the user's last message; empty where there is none.
    fn last_user_text(&self, object: &Object) -> String;

    /// Whether the conversation has an image in it.
    fn has_images(&self, object: &Object) -> bool;

    /// Where this dialect has a place for a provider's proof, beside thoughts.
    fn proof_places(&self) -> ProofPlaces {
        ProofPlaces { calls: false, texts: false }
    }

    /// One turn of a conversation.
    fn turn(&self, role: Role, text: &str) -> Value {
        let role = if role == Role::Assistant { "assistant" } else { "user" };
        json!({"role": role, "content": text})
    }

    /// The caller's object with these turns at the end of its conversation.
    fn followed(&self, object: &Object, turns: &[(Role, &str)]) -> Bytes {
        let name = self.conversation();
        let before = match object.get(name).filter(|json| *json != "null").unwrap_or("[]").trim() {
            // A text stands for a turn of the user, and an object for a list of it.
            text if text.starts_with('"') => format!("{{\"role\":\"user\",\"content\":{text}}}"),
            list => list.strip_prefix('[').and_then(|list| list.strip_suffix(']')).unwrap_or(list).trim().to_owned(),
        };
        let mut all: Vec<String> = if before.is_empty() { Vec::new() } else { vec![before] };
        all.extend(turns.iter().map(|(role, text)| self.turn(*role, text).to_string()));
        let mut edits = super::json::Edits::default();
        edits.set(name, format!("[{}]", all.join(",")));
        object.edited(&edits)
    }

    /// Asks for the log-probabilities of the answer's tokens by edits of the request; false where it asks for them already, or
    /// this dialect cannot say it.
    fn ask_logprobs(&self, object: &Object, edits: &mut super::json::Edits) -> bool {
        let _unused = (object, edits);
        false
    }

    /// Whether the provider may act on such a request: it has a tool that the provider runs, such as a search or an MCP server,
    /// or leaves something at the provider, such as a stored answer. Made twice, it may act twice.
    fn acts(&self, object: &Object) -> bool;

    /// Sets the most tokens of each answer, which the request leaves open, by edits. `chat_name` is the field's name where the
    /// dialect is OpenAI's chat, whose models differ in it.
    fn bound(&self, object: &Object, (chat_name, most): (&str, u64), edits: &mut super::json::Edits) {
        let _unused = object;
        edits.set(chat_name, most.to_string());
    }

    /// Takes the log-probabilities out of an answer of this dialect.
    fn without_logprobs(&self, answer: &mut Value) {
        let _unused = answer;
    }

    /// The format that the request asks for, where it names one that can be read.
    fn format(&self, object: &Object) -> Option<Format> {
        let _unused = object;
        None
    }

    /// The whole request in the internal form. Fields that only this dialect has are refused.
    ///
    /// # Errors
    /// A 400 that names the field: `invalid_request` where it is wrong, `unsupported_feature` where no other dialect has it.
    fn read_request(&self, asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error>;

    /// Observes a whole answer that passes in this dialect.
    ///
    /// # Errors
    /// Where the body is no answer.
    fn observe(&self, body: &Bytes) -> Result<Observed, BadAnswer>;

    /// A tap for a stream that passes in this dialect. Without `keep_usage` the tap removes usage that only we asked for.
    fn tap(&self, keep_usage: bool) -> Box<dyn Tap>;

    /// Whether this dialect can express such an answer.
    ///
    /// # Errors
    /// Where the answer has a part for which this dialect has no form; its streams end in an error then.
    fn can_express(&self, response: &Response) -> Result<(), BadAnswer> {
        let _unused = response;
        Ok(())
    }

    /// A whole answer for a caller of this dialect.
    fn write_response(&self, response: &Response, context: &AnswerContext) -> Bytes;

    /// A writer of this dialect's streams.
    fn stream_writer(&self, context: &AnswerContext) -> Box<dyn WriteStream>;

    /// The body of an error's answer.
    fn error_body(&self, error: &Error, request_id: &str) -> Bytes;

    /// The event that ends a stream which failed after it began.
    fn error_event(&self, error: &Error) -> Bytes;

    /// Rewrites a whole answer of this dialect as a stream.
    ///
    /// # Errors
    /// Where `body` is no answer.
    fn as_stream(&self, body: &[u8], context: &AnswerContext) -> Result<Bytes, BadAnswer> {
        let mut writer = self.stream_writer(context);
        let mut out = Vec::with_capacity(body.len() * 2);
        for event in self.read_response(body)?.into_events() {
            writer.write(event, &mut out);
        }
        Ok(out.into())
    }

    /// Puts the events of a stream of this dialect together as a whole answer.
    ///
    /// # Errors
    /// Where an event is none of this dialect, or the stream did not end well.
    fn as_whole(&self, events: &[super::sse::Event], context: &AnswerContext) -> Result<Bytes, BadAnswer> {
        let mut reader = self.stream_reader();
        let mut collector = chat::Collector::default();
        let mut meant = Vec::new();
        for event in events {
            reader.read(event, &mut meant)?;
            meant.drain(..).for_each(|event| collector.take(event));
        }
        reader.end(&mut meant);
        meant.drain(..).for_each(|event| collector.take(event));
        let whole = collector.finish().ok_or_else(|| BadAnswer("the stream did not end well".to_owned()))?;
        Ok(self.write_response(&whole, context))
    }
}

impl From<ObjectError> for BadAnswer {
    fn from(error: ObjectError) -> Self {
        Self(match error {
            ObjectError::Syntax(_) => "it is no JSON object".to_owned(),
            other => other.to_string(),
        })
    }
}

impl From<FieldError> for BadAnswer {
    fn from(error: FieldError) -> Self {
        Self(Error::from(error).message)
    }
}
