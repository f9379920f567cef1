//! Requests, answers, streams and errors, both ways.

mod answers;
mod requests;
mod round;
mod streams;

use bytes::Bytes;
use serde_json::Value;

use super::Anthropic;
use crate::chat::{self, Emulated, Error, Message, Request, Role, Usage};
use crate::wire::dialect::{Addressed, Asked, ClientCodec, ProviderCodec};
use crate::wire::sse::Decoder;

fn ask(body: &Value) -> Result<Asked, Error> {
    Anthropic.read(body.to_string().into(), &Addressed::default())
}

/// A caller's body in the internal form.
fn read(body: &Value) -> Result<Request, Error> {
    Anthropic.read_request(&ask(body)?, &mut Emulated::default())
}

/// The body for a target, and what was emulated.
fn write(request: &Request) -> Result<(Value, Vec<&'static str>), Error> {
    let mut emulated = Emulated::default();
    let written = Anthropic.write_request(request, &mut emulated)?;
    Ok((serde_json::from_slice(&written.body).unwrap(), emulated.names().to_vec()))
}

fn hello() -> Request {
    Request {
        model: "m".to_owned(),
        messages: vec![Message::text(Role::User, "Hi")],
        max_tokens: Some(9),
        ..Request::default()
    }
}

/// What a stream's bytes mean, arriving in these pieces.
fn events(pieces: &[&[u8]]) -> Result<Vec<chat::Event>, String> {
    let mut decoder = Decoder::default();
    let mut reader = Anthropic.stream_reader();
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(event) = decoder.event().unwrap() {
            reader.read(&event, &mut found).map_err(|bad| bad.0)?;
        }
    }
    reader.end(&mut found);
    Ok(found)
}

/// The usage of the answer that the tests read, whole and as a stream.
fn usage() -> Usage {
    Usage {
        input: 139,
        cached_input: 100,
        cache_write: 30,
        cache_write_1h: 20,
        output: 40,
        reasoning: 7,
        ..Usage::default()
    }
}
