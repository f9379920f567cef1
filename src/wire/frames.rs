//! Amazon's binary event stream: whole frames out of bytes that arrive in any pieces, their checksums held to.

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::event_stream::{HeaderValue, Message};
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::bad_stream::{BadFrame, BadStream};
use super::sse::{Event, MAX_EVENT, TooLong};

/// The least that a frame is: its lengths and its two checksums.
const LEAST_FRAME: usize = 16;

/// The longest name of an event or an error.
const LONGEST_NAME: usize = 128;

/// Cuts bytes into frames, and converts each to the server-sent event that means the same: the frame's `:event-type` is
/// the name, its payload the data. Exceptions and errors become `{"type": "error", "error": {"type": …, "message": …}}`.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes the next piece.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole frame, if there is one.
    ///
    /// # Errors
    /// Where a frame is longer than [`MAX_EVENT`], or broken.
    pub fn event(&mut self) -> Result<Option<Event>, BadStream> {
        let Some(length) = self.buffer.first_chunk::<4>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        if length > MAX_EVENT {
            return Err(TooLong.into());
        }
        if length < LEAST_FRAME {
            return Err(BadFrame("its length is none".to_owned()).into());
        }
        if self.buffer.len() < length {
            return Ok(None);
        }
        let frame = self.buffer.split_to(length).freeze();
        let message = read_message_from(frame).map_err(|error| BadFrame(error.to_string()))?;
        Ok(Some(converted(&message)?))
    }
}

/// A frame as a server-sent event.
fn converted(message: &Message) -> Result<Event, BadFrame> {
    let named = |header| {
        let name = text(message, header).unwrap_or_default();
        let fits = !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(name) } else { Err(BadFrame(format!("it has no `{header}`"))) }
    };
    match text(message, ":message-type") {
        Some("event") => Ok(Event::named(named(":event-type")?, message.payload())),
        Some("exception") => Ok(failed(named(":exception-type")?, &reason(message.payload()))),
        Some("error") => {
            Ok(failed(named(":error-code")?, text(message, ":error-message").unwrap_or("it gave no reason")))
        }
        _ => Err(BadFrame("it is neither an event nor an error".to_owned())),
    }
}

fn text<'a>(message: &'a Message, name: &str) -> Option<&'a str> {
    let header = message.headers().iter().find(|header| header.name().as_str() == name)?;
    match header.value() {
        HeaderValue::String(text) => Some(text.as_str()),
        _ => None,
    }
}

/// The message in an exception's payload.
fn reason(payload: &Bytes) -> String {
    let fields: Value = serde_json::from_slice(payload).unwrap_or_default();
    let places = ["message", "Message", "originalMessage"];
    let message = places.iter().find_map(|name| fields.get(name)?.as_str().filter(|text| !text.is_empty()));
    message.unwrap_or("it gave no reason").to_owned()
}

fn failed(kind: &str, message: &str) -> Event {
    let data = json!({"type": "error", "error": {"type": kind, "message": message}});
    Event::named(kind, data.to_string().as_bytes())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::Header;
    use proptest::prelude::*;

    /// A frame of these headers and this payload.
    pub fn frame(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
        let mut message = Message::new(payload.to_owned());
        for (name, value) in headers {
            let value = HeaderValue::String((*value).to_owned().into());
            message = message.add_header(Header::new((*name).to_owned(), value));
        }
        let mut out = Vec::new();
        write_message_to(&message, &mut out).unwrap();
        out
    }

    /// A frame of an event.
    pub fn event(name: &str, payload: &str) -> Vec<u8> {
        frame(&[(":event-type", name), (":content-type", "application/json"), (":message-type", "event")], payload)
    }

    /// A frame of an exception.
    pub fn exception(kind: &str, payload: &str) -> Vec<u8> {
        frame(&[(":exception-type", kind), (":message-type", "exception")], payload)
    }

    fn read(pieces: &[&[u8]]) -> Result<Vec<Event>, BadStream> {
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            while let Some(event) = decoder.event()? {
                found.push(event);
            }
        }
        Ok(found)
    }

    fn stream() -> Vec<u8> {
        [event("messageStart", r#"{"role":"assistant"}"#), event("metadata", "{}")].concat()
    }

    #[test]
    fn every_cut_gives_the_same_events() {
        let stream = stream();
        let whole = read(&[&stream]).unwrap();
        assert_eq!(whole.iter().map(Event::name).collect::<Vec<_>>(), [Some("messageStart"), Some("metadata")]);
        assert_eq!(whole[0].data().unwrap(), r#"{"role":"assistant"}"#);
        for cut in 0..=stream.len() {
            assert_eq!(read(&[&stream[..cut], &stream[cut..]]).unwrap(), whole, "cut at {cut}");
        }
        assert_eq!(read(&stream.chunks(1).collect::<Vec<_>>()).unwrap(), whole);
    }

    /// A frame as its specification's own example has it, byte by byte.
    #[test]
    fn a_frame_is_read_as_it_was_published() {
        let frame = b"\x00\x00\x00\x3d\x00\x00\x00\x20\x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json{'foo':'bar'}\x8d\x9c\x08\xb1";
        let message = read_message_from(&frame[..]).unwrap();
        assert_eq!(text(&message, "content-type"), Some("application/json"));
        assert_eq!(&message.payload()[..], b"{'foo':'bar'}");
        assert!(matches!(read(&[frame]), Err(BadStream::Frame(_))), "it is neither an event nor an error");
    }

    #[test]
    fn exceptions_and_errors_become_the_same_event() {
        let thrown = exception("throttlingException", r#"{"message":"Too many requests"}"#);
        let model = exception("modelStreamErrorException", r#"{"originalStatusCode":500,"originalMessage":"Broken"}"#);
        let raw =
            frame(&[(":message-type", "error"), (":error-code", "InternalError"), (":error-message", "Sorry")], "");
        let events = read(&[&[thrown, model, raw].concat()]).unwrap();
        let data: Vec<Value> =
            events.iter().map(|event| serde_json::from_slice(&event.data().unwrap()).unwrap()).collect();
        let expected = [
            ("throttlingException", "Too many requests"),
            ("modelStreamErrorException", "Broken"),
            ("InternalError", "Sorry"),
        ];
        for ((event, data), (kind, message)) in events.iter().zip(data).zip(expected) {
            assert_eq!(event.name(), Some(kind));
            assert_eq!(data, json!({"type": "error", "error": {"type": kind, "message": message}}));
        }
    }

    #[test]
    fn an_endless_frame_is_refused_before_it_comes() {
        assert_eq!(read(&[b"\x7f\xff\xff\xff"]), Err(BadStream::TooLong(TooLong)));
        assert!(matches!(read(&[&[0; 16]]), Err(BadStream::Frame(_))));
        assert_eq!(read(&[b"\x00\x00"]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unseen(at in 0usize..1_000, bit in 0u8..8) {
            let mut stream = stream();
            let whole = read(&[&stream]).unwrap();
            let at = at % stream.len();
            stream[at] ^= 1 << bit;
            if let Ok(events) = read(&[&stream]) {
                prop_assert!(events.len() < whole.len(), "the frame with byte {} flipped waits for more", at);
                prop_assert_eq!(&events[..], &whole[..events.len()]);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), length in 0u8..200) {
            let _unread = read(&[&bytes]).map(|events| events.len());
            let _unread = read(&[&[0, 0, 0, length], &bytes]).map(|events| events.len());
        }
    }
}
