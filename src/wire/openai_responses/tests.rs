//! Tests of the dialect: requests, answers, streams, and that what is written reads back as it was.

mod answers;
mod property;
mod requests;
mod streams;

use bytes::Bytes;
use serde_json::Value;

use super::OpenAiResponses;
use crate::chat::{Emulated, Error, Event, Request};
use crate::wire::dialect::{Addressed, Asked, ClientCodec, ProviderCodec};
use crate::wire::sse::{self, Decoder};

fn asked(body: &Value) -> Result<Asked, Error> {
    OpenAiResponses.read(body.to_string().into(), &Addressed::default())
}

fn request(body: &Value) -> Result<Request, Error> {
    OpenAiResponses.read_request(&asked(body)?, &mut Emulated::default())
}

fn decoded(stream: &[u8], cut: usize) -> Vec<sse::Event> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for piece in [&stream[..cut], &stream[cut..]] {
        decoder.push(Bytes::copy_from_slice(piece));
        events.extend(std::iter::from_fn(|| decoder.event().unwrap()));
    }
    events
}

fn meant(stream: &[u8], cut: usize) -> Vec<Event> {
    let mut reader = OpenAiResponses.stream_reader();
    let mut out = Vec::new();
    for event in decoded(stream, cut) {
        reader.read(&event, &mut out).unwrap();
    }
    reader.end(&mut out);
    out
}
