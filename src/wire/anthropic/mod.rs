//! Anthropic Messages: requests, answers, streams and errors.

mod ask;
mod block;
mod citation;
mod count;
mod error;
mod ids;
mod listen;
mod place;
mod prompted;
mod request_read;
mod request_write;
mod response;
mod stream_read;
mod stream_write;
#[cfg(test)]
mod tests;
mod turns;
mod usage;

use bytes::Bytes;

use super::dialect::{Addressed, Asked, BadAnswer, Dialect, Listen, Listened, ReadStream, Told, WriteStream, Written};
use super::json::{Edits, Object, quoted};
use crate::chat::{Emulated, Error, Request, Response};

pub use count::{count_answer, read_count, read_count_request};

/// The API's name in messages.
const NAME: &str = "Anthropic Messages";

/// The dialect of Anthropic's Messages API.
#[derive(Clone, Copy, Debug, Default)]
pub struct Anthropic;

impl Dialect for Anthropic {
    fn name(&self) -> &'static str {
        NAME
    }

    fn headers(&self) -> &'static [&'static str] {
        &["anthropic-version", "anthropic-beta"]
    }

    fn read(&self, body: Bytes, _: &Addressed) -> Result<Asked, Error> {
        ask::read(body, true)
    }

    fn pass(&self, asked: &Asked, model: &str) -> Bytes {
        let mut edits = Edits::default();
        edits.set("model", quoted(model));
        asked.object.edited(&edits)
    }

    fn prompted(&self, asked: &Asked, prompt: &Object) -> Result<Bytes, Error> {
        prompted::prompted(asked, prompt)
    }

    fn conversation(&self) -> &'static str {
        "messages"
    }

    fn last_user_text(&self, object: &Object) -> String {
        ask::last_user_text(object.get("messages").unwrap_or("[]"))
    }

    fn has_images(&self, object: &Object) -> bool {
        ask::has_images(object.get("messages").unwrap_or_default())
    }

    fn read_request(&self, asked: &Asked, emulated: &mut Emulated) -> Result<Request, Error> {
        request_read::read_request(asked, emulated)
    }

    fn write_request(&self, request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
        request_write::write_request(request, emulated)
    }

    fn listen(&self, body: &Bytes) -> Result<Listened, BadAnswer> {
        listen::listen(body)
    }

    fn listener(&self, _: bool) -> Box<dyn Listen> {
        Box::new(listen::Listener::default())
    }

    fn read_response(&self, body: &[u8]) -> Result<Response, BadAnswer> {
        response::read_response(body)
    }

    fn can_tell(&self, response: &Response) -> Result<(), BadAnswer> {
        response::can_tell(response)
    }

    fn write_response(&self, response: &Response, told: &Told) -> Bytes {
        response::write_response(response, told)
    }

    fn stream_reader(&self) -> Box<dyn ReadStream> {
        Box::new(stream_read::Reader::default())
    }

    fn stream_writer(&self, told: &Told) -> Box<dyn WriteStream> {
        Box::new(stream_write::Writer::new(told))
    }

    fn error_body(&self, error: &Error, request_id: &str) -> Bytes {
        error::error_body(error, request_id)
    }

    fn error_event(&self, error: &Error) -> Bytes {
        error::error_event(error)
    }
}
