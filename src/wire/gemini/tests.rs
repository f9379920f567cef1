//! Whole requests, answers and streams, both ways.

mod answers;
mod requests;
mod round;

use serde_json::Value;

use super::Gemini;
use crate::chat::{Emulated, Error, Request};
use crate::wire::dialect::{Addressed, Asked, ClientCodec, ProviderCodec};
use crate::wire::sse::{Decoder, Event};

fn addressed() -> Addressed {
    Addressed { model: Some("m".to_owned()), stream: false }
}

fn asked(body: &Value) -> Result<Asked, Error> {
    Gemini.read(body.to_string().into(), &addressed())
}

fn request(body: &Value) -> Result<Request, Error> {
    Gemini.read_request(&asked(body)?, &mut Emulated::default())
}

fn written(request: &Request) -> Result<(Value, Emulated), Error> {
    let mut emulated = Emulated::default();
    let written = Gemini.write_request(request, &mut emulated)?;
    Ok((serde_json::from_slice(&written.body).unwrap(), emulated))
}

/// The events of a stream that comes in these pieces.
fn events(pieces: &[&[u8]]) -> Vec<Event> {
    let mut decoder = Decoder::default();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.push(bytes::Bytes::copy_from_slice(piece));
        events.extend(std::iter::from_fn(|| decoder.event().unwrap()));
    }
    events
}
