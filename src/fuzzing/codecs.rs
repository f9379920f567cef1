//! Dialects: what is read of any bytes can be written in every other, and what we write, we read.

use bytes::Bytes;

use crate::chat::{Collector, Emulated, Event, Request, Response, Role};
use crate::wire::decoder::Decoder;
use crate::wire::dialect::{Addressed, AnswerContext, Asked, BadAnswer, Chunk, ClientCodec, ProviderCodec};
use crate::wire::json::Object;
use crate::wire::{DIALECTS, bedrock};

/// Fields that passing a request on may change.
const PASSED_OTHERWISE: [&str; 3] = ["model", "stream", "stream_options"];

fn providers() -> [&'static dyn ProviderCodec; 5] {
    let [chat, responses, messages, gemini] = DIALECTS;
    [chat, responses, messages, gemini, &bedrock::Bedrock]
}

/// What an address says of the request; only Gemini's does.
fn addressed(stream: bool) -> Addressed {
    Addressed { model: Some("m".to_owned()), stream }
}

fn context() -> AnswerContext {
    AnswerContext {
        model: "m".to_owned(),
        id: "req_1".to_owned(),
        created: 1,
        choices: 1,
        input_tokens: 3,
        include_usage: true,
        request: None,
    }
}

/// Reads a body as a request of every dialect.
pub(super) fn request(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    for dialect in DIALECTS {
        match dialect.read(bytes.clone(), &addressed(data.len().is_multiple_of(2))) {
            Ok(asked) => request_of(dialect, &asked, &bytes),
            Err(error) => assert!((400..500).contains(&error.status()), "{error:?}"),
        }
    }
}

fn request_of(dialect: &'static dyn ClientCodec, asked: &Asked, bytes: &Bytes) {
    assert_eq!(asked.object.bytes(), bytes);
    let passed = Object::read(dialect.pass(asked, &asked.model));
    assert!(passed.is_ok(), "{}: {passed:?} passes", dialect.name());
    let Ok(passed) = passed else { return };
    for (name, value) in asked.object.iter().filter(|(name, _)| !PASSED_OTHERWISE.contains(name)) {
        assert_eq!(passed.get(name), Some(value), "{}: `{name}` does not pass as it came", dialect.name());
    }
    let followed = dialect.followed(&asked.object, &[(Role::User, "next")]);
    assert!(Object::read(followed).is_ok(), "{}: a turn cannot follow {:?}", dialect.name(), asked.object);
    let _facts =
        (dialect.last_user_text(&asked.object), dialect.has_images(&asked.object), dialect.format(&asked.object));
    let mut emulated = Emulated::default();
    match dialect.read_request(asked, &mut emulated) {
        Ok(request) => providers().into_iter().for_each(|to| written(&request, to)),
        Err(error) => assert!((400..500).contains(&error.status()), "{}: {error:?}", dialect.name()),
    }
}

/// Writes a request, and reads what was written where callers have this dialect too.
fn written(request: &Request, to: &'static dyn ProviderCodec) {
    let mut emulated = Emulated::default();
    match to.write_request(request, &mut emulated) {
        Ok(written) => {
            let body = Object::read(written.body);
            assert!(body.is_ok(), "{}: {body:?} of {request:?}", to.name());
        }
        Err(error) => assert!((400..500).contains(&error.status()), "{}: {error:?}", to.name()),
    }
}

/// Reads a body as a whole answer of every API.
pub(super) fn answer(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    for from in providers() {
        if let Ok(response) = from.read_response(data) {
            DIALECTS.into_iter().for_each(|to| answered(&response, to));
        }
    }
    for dialect in DIALECTS {
        let _observed = dialect.observe(&bytes);
        // What its own dialect's reader refuses passes as it came, as a stream too.
        let is_read = dialect.read_response(data).is_ok();
        if let Ok(stream) = dialect.as_stream(data, &context())
            && is_read
        {
            let read = read(dialect, &[stream]);
            assert!(read.failure.is_none(), "{}: {:?}", dialect.name(), read.failure);
        }
    }
}

/// Writes an answer, whole and as a stream, and reads both.
fn answered(response: &Response, to: &'static dyn ClientCodec) {
    if to.can_express(response).is_err() {
        return;
    }
    let whole = to.read_response(&to.write_response(response, &context()));
    assert!(whole.is_ok(), "{}: {whole:?} of {response:?}", to.name());
    let (read, bytes) = rewritten(response.clone().into_events(), to);
    assert!(read.failure.is_none(), "{}: {:?} of {}", to.name(), read.failure, String::from_utf8_lossy(&bytes));
    // A call whose arguments are no JSON is written as the failure that Google makes of it.
    let is_failure = read.events.iter().any(|event| matches!(event, Event::Failed(_)));
    let is_malformed = is_failure && memchr::memmem::find(&bytes, b"MALFORMED_FUNCTION_CALL").is_some();
    let has_end = is_malformed || collected(read.events).is_some();
    assert!(has_end, "{}: no end in {}", to.name(), String::from_utf8_lossy(&bytes));
}

/// A stream as it was read.
#[derive(Debug, PartialEq)]
struct Read {
    events: Vec<Event>,
    failure: Option<String>,
}

/// Reads a stream that comes in pieces, as far as it ends or breaks.
fn read(from: &dyn ProviderCodec, pieces: &[Bytes]) -> Read {
    let (mut decoder, mut reader) = (from.decoder(), from.stream_reader());
    let mut events = Vec::new();
    let ended = |events: &[Event]| events.iter().any(|event| matches!(event, Event::End | Event::Failed(_)));
    for piece in pieces {
        decoder.push(piece.clone());
        loop {
            match decoder.event() {
                Ok(Some(event)) => {
                    if let Err(BadAnswer(reason)) = reader.read(&event, &mut events) {
                        return Read { events, failure: Some(reason) };
                    }
                }
                Ok(None) => break,
                Err(error) => return Read { events, failure: Some(error.to_string()) },
            }
            if ended(&events) {
                return Read { events, failure: None };
            }
        }
    }
    reader.end(&mut events);
    Read { events, failure: None }
}

fn collected(events: Vec<Event>) -> Option<Response> {
    let mut collector = Collector::default();
    events.into_iter().for_each(|event| collector.take(event));
    collector.finish()
}

/// Writes events as a stream of a dialect, and reads it.
fn rewritten(events: Vec<Event>, to: &'static dyn ClientCodec) -> (Read, Bytes) {
    let (mut writer, mut bytes) = (to.stream_writer(&context()), Vec::new());
    events.into_iter().for_each(|event| writer.write(event, &mut bytes));
    let bytes = Bytes::from(bytes);
    (read(to, std::slice::from_ref(&bytes)), bytes)
}

/// Reads bytes as a stream of every API.
pub(super) fn stream(data: &[u8]) {
    let whole = Bytes::copy_from_slice(data);
    for from in providers() {
        let expected = read(from, std::slice::from_ref(&whole));
        for pieces in super::cuttings::cuttings(data) {
            assert_eq!(read(from, &pieces), expected, "{}", from.name());
        }
        in_order(&expected.events);
        if expected.events.last() == Some(&Event::End) {
            for to in DIALECTS {
                let (read, bytes) = rewritten(expected.events.clone(), to);
                assert!(
                    read.failure.is_none(),
                    "{}: {:?} of {}",
                    to.name(),
                    read.failure,
                    String::from_utf8_lossy(&bytes)
                );
            }
        }
    }
    DIALECTS.into_iter().for_each(|dialect| tapped(dialect, &whole));
}

/// Whether events come in the order that [`Event`] asks for.
fn in_order(events: &[Event]) {
    let mut open: Vec<(u32, u32)> = Vec::new();
    for (n, event) in events.iter().enumerate() {
        match event {
            Event::Begin { .. } => assert_eq!(n, 0, "{events:?}"),
            // What fails at once need not begin.
            event if n == 0 => assert!(matches!(event, Event::Failed(_) | Event::Usage(_)), "{events:?}"),
            Event::Open { choice, part, .. } => {
                assert!(open.iter().all(|(other, _)| other != choice), "two parts of a choice are open: {events:?}");
                open.push((*choice, *part));
            }
            Event::Delta { choice, part, .. } => assert!(open.contains(&(*choice, *part)), "{events:?}"),
            Event::Close { choice, part } => {
                assert!(open.contains(&(*choice, *part)), "{events:?}");
                open.retain(|place| *place != (*choice, *part));
            }
            Event::End | Event::Failed(_) => assert_eq!(n, events.len() - 1, "{events:?}"),
            _ => {}
        }
    }
}

/// Reads usage from a stream that passes: what passes are the bytes that came.
fn tapped(dialect: &dyn ClientCodec, bytes: &Bytes) {
    let (mut decoder, mut tap) = (Decoder::default(), dialect.tap(true));
    decoder.push(bytes.clone());
    while let Ok(Some(event)) = decoder.event() {
        match tap.observe(&event) {
            Chunk::Pass(passed) => assert_eq!(passed, event.raw()),
            Chunk::Drop => {}
            Chunk::Done(_) | Chunk::Failed(_) | Chunk::Broken => break,
        }
    }
    let _facts = (tap.usage(), tap.estimated_output(), tap.may_end_here());
}
