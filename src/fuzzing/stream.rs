//! Streams cut into events: the same events however the bytes arrive, and every byte in one of them.

use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
use bytes::{Bytes, BytesMut};

use crate::wire::frames;
use crate::wire::sse::{Decoder, Event, MAX_EVENT};

/// What a decoder makes of pieces: the events, and the rest at the end.
fn events(pieces: &[Bytes]) -> (Vec<Event>, Option<Event>) {
    let mut decoder = Decoder::default();
    let mut found = Vec::new();
    for piece in pieces {
        decoder.push(piece.clone());
        while let Ok(Some(event)) = decoder.event() {
            found.push(event);
        }
    }
    (found, decoder.rest())
}

/// Cuts server-sent events, and compares with the standard's algorithm on all lines at once.
pub(super) fn sse(data: &[u8]) {
    let whole = events(&[Bytes::copy_from_slice(data)]);
    for pieces in super::cuttings::cuttings(data) {
        assert_eq!(events(&pieces), whole);
    }
    let raw: Vec<u8> = whole.0.iter().flat_map(|event| event.raw().iter().copied()).collect();
    assert!(data.starts_with(&raw), "an event's bytes are not those that came");
    assert!(whole.0.iter().all(|event| event.raw().len() <= MAX_EVENT));
    // A byte order mark is passed over before any event, and the standard knows it before the first only.
    if !memchr::memmem::find_iter(&raw, BYTE_ORDER_MARK).any(|at| at > 0) {
        let named = |event: &Event| Some((event.name().map(str::to_owned), event.data()?));
        assert_eq!(whole.0.iter().filter_map(named).collect::<Vec<_>>(), reference(&raw));
    }
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The names and data of whole events, as the WHATWG's standard reads them, but that the first name of an event counts.
fn reference(raw: &[u8]) -> Vec<(Option<String>, Bytes)> {
    let mut found = Vec::new();
    let (mut name, mut data) = (None, None::<BytesMut>);
    for line in lines(raw.strip_prefix(BYTE_ORDER_MARK).unwrap_or(raw)) {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match (&line[..colon], &mut data) {
            (b"", _) if line.is_empty() => {
                let named = name.take().map(|name| String::from_utf8(name).ok());
                found.extend(data.take().map(|data| (named.flatten(), data.freeze())));
            }
            (b"data", None) => data = Some(BytesMut::from(value)),
            (b"data", Some(data)) => {
                data.extend_from_slice(b"\n");
                data.extend_from_slice(value);
            }
            (b"event", _) => drop(name.get_or_insert_with(|| value.to_vec())),
            _ => {}
        }
    }
    found
}

/// Lines without their ends: LF, CR or CRLF.
fn lines(mut text: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some(end) = text.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        found.push(&text[..end]);
        let is_pair = text[end..].starts_with(b"\r\n");
        text = &text[end + 1 + usize::from(is_pair)..];
    }
    found
}

/// Cuts Amazon's frames, and compares with Amazon's own decoder.
pub(super) fn frames(data: &[u8]) {
    let read = |pieces: &[Bytes]| {
        let mut decoder = frames::Decoder::default();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.push(piece);
            loop {
                match decoder.event() {
                    Ok(Some(event)) => found.push(event),
                    Ok(None) => break,
                    Err(error) => return (found, Some(error.to_string())),
                }
            }
        }
        (found, None)
    };
    let whole = read(&[Bytes::copy_from_slice(data)]);
    for pieces in super::cuttings::cuttings(data) {
        assert_eq!(read(&pieces), whole);
    }
    for event in &whole.0 {
        let (events, rest) = events(std::slice::from_ref(event.raw()));
        assert_eq!((events.as_slice(), rest), (std::slice::from_ref(event), None));
        assert!(event.name().is_some() && event.data().is_some());
    }
    let mut bytes = data;
    let mut amazons = MessageFrameDecoder::new();
    let mut count = 0;
    while let Ok(DecodedFrame::Complete(_)) = amazons.decode_frame(&mut bytes) {
        count += 1;
    }
    assert!(whole.0.len() <= count, "Amazon's decoder reads fewer frames");
    assert!(whole.1.is_some() || whole.0.len() == count, "Amazon's decoder reads more frames");
}
