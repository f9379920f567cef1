//! Amazon Bedrock's Converse and ConverseStream: requests, answers, streams and errors. No caller speaks Converse.

mod answer_read;
mod citation;
mod error;
mod family;
mod idiom;
mod part_write;
mod request_write;
mod stream_read;
#[cfg(test)]
mod tests;
mod thought;
mod tools;
mod turns;
mod usage;

use serde_json::Value;

use crate::chat::{Emulated, Error, Maker, Request, Response, Structured, Usage};
use crate::wire::decoder::Decoder;
use crate::wire::dialect::{BadAnswer, ProviderCodec, ReadStream, Written};
use crate::wire::frames;

/// Bedrock's Converse.
#[derive(Clone, Copy, Debug, Default)]
pub struct Bedrock;

impl ProviderCodec for Bedrock {
    fn name(&self) -> &'static str {
        idiom::NAME
    }

    fn write_request(&self, request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
        request_write::write_request(request, emulated)
    }

    fn read_response(&self, body: &[u8]) -> Result<Response, BadAnswer> {
        answer_read::read_response(body)
    }

    /// Only Claude signs what it thinks, and its proofs hold wherever it is served.
    fn maker(&self) -> Maker {
        Maker::Anthropic
    }

    fn structured(&self, request: &mut Request) -> Structured {
        request_write::structured(request)
    }

    fn decoder(&self) -> Decoder {
        Decoder::Frames(frames::Decoder::default())
    }

    fn stream_reader(&self) -> Box<dyn ReadStream> {
        Box::new(stream_read::Reader::default())
    }

    fn failure(&self, answer: &Value) -> Option<Error> {
        error::failure(answer)
    }

    fn usage(&self, answer: &Value) -> Option<Usage> {
        usage::read_with_service(answer)
    }
}
