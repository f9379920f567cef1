//! Requests, answers and streams, both ways.

mod requests;
mod responses;
mod round_trips;
mod streams;

use bytes::Bytes;
use serde_json::{Value, json};

use super::OpenAiChat;
use crate::chat::{Emulated, Error, Event, Request};
use crate::wire::dialect::{Addressed, AnswerContext, BadAnswer, ClientCodec, ProviderCodec};
use crate::wire::sse::{self, Decoder};

/// Reads a caller's body to the internal form, with what was emulated.
fn read(body: &Value) -> Result<(Request, Emulated), Error> {
    let asked = OpenAiChat.read(body.to_string().into(), &Addressed::default())?;
    let mut emulated = Emulated::default();
    let request = OpenAiChat.read_request(&asked, &mut emulated)?;
    Ok((request, emulated))
}

/// Writes a request, with what was emulated.
fn write(request: &Request) -> Result<(Value, Emulated), Error> {
    let mut emulated = Emulated::default();
    let written = OpenAiChat.write_request(request, &mut emulated)?;
    Ok((serde_json::from_slice(&written.body).unwrap(), emulated))
}

/// A body with these messages.
fn with_messages(messages: Value) -> Value {
    let mut body = json!({"model": "m"});
    body["messages"] = messages;
    body
}

fn context() -> AnswerContext {
    AnswerContext {
        model: "asked-for".to_owned(),
        include_usage: true,
        id: "own".to_owned(),
        created: 7,
        ..AnswerContext::default()
    }
}

/// Cuts a stream into its events.
fn decoded(pieces: &[&[u8]]) -> Vec<sse::Event> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.event().unwrap() {
            events.push(event);
        }
    }
    events
}

/// What a stream means.
fn meant(pieces: &[&[u8]]) -> Result<Vec<Event>, BadAnswer> {
    let mut reader = OpenAiChat.stream_reader();
    let mut out = Vec::new();
    for event in decoded(pieces) {
        reader.read(&event, &mut out)?;
    }
    reader.end(&mut out);
    Ok(out)
}

/// A stream of these chunks.
fn stream(chunks: &[Value]) -> String {
    let events = chunks.iter().map(|chunk| format!("data: {chunk}\n\n"));
    events.chain(["data: [DONE]\n\n".to_owned()]).collect()
}

/// The stream that these events are written as.
fn written(events: Vec<Event>, context: &AnswerContext) -> String {
    let mut writer = OpenAiChat.stream_writer(context);
    let mut out = Vec::new();
    for event in events {
        writer.write(event, &mut out);
    }
    String::from_utf8(out).unwrap()
}
