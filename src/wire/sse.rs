//! Server-sent events: whole events out of bytes that arrive in any pieces.

use bytes::{Buf, Bytes, BytesMut};

/// The longest event that is read; a longer one is an attack or a fault.
pub const MAX_EVENT: usize = 8 << 20;

/// An event longer than [`MAX_EVENT`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("an event is longer than {MAX_EVENT} bytes")]
pub struct TooLong;

/// One event: its bytes as they came, with the blank line that ends it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    raw: Bytes,
}

impl Event {
    /// An event of this name and data, as a stream would have it. Line breaks in the data stay line breaks, whichever
    /// they were.
    #[must_use]
    pub fn named(name: &str, data: &[u8]) -> Self {
        let mut raw = BytesMut::with_capacity(name.len() + data.len() + 16);
        raw.extend_from_slice(b"event: ");
        raw.extend_from_slice(name.as_bytes());
        for line in data.split(|byte| matches!(byte, b'\n' | b'\r')) {
            raw.extend_from_slice(b"\ndata: ");
            raw.extend_from_slice(line);
        }
        raw.extend_from_slice(b"\n\n");
        Self { raw: raw.freeze() }
    }

    /// The event's name, where an `event:` line has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        let raw = self.raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.raw);
        let name = lines(raw).find_map(|line| field_of(line, b"event"))?;
        std::str::from_utf8(name).ok()
    }

    /// The event with its bytes edited.
    #[must_use]
    pub fn edited(self, edit: impl FnOnce(Bytes) -> Bytes) -> Self {
        Self { raw: edit(self.raw) }
    }

    /// The bytes as they came.
    #[must_use]
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// What stands in its `data:` lines, joined by newlines; `None` where it has none (a comment, a ping).
    #[must_use]
    pub fn data(&self) -> Option<Bytes> {
        let raw = self.raw.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&self.raw);
        let mut lines = lines(raw).filter_map(|line| field_of(line, b"data"));
        let first = lines.next()?;
        let Some(second) = lines.next() else {
            return Some(self.raw.slice_ref(first));
        };
        let mut joined = BytesMut::from(first);
        for line in std::iter::once(second).chain(lines) {
            joined.extend_from_slice(b"\n");
            joined.extend_from_slice(line);
        }
        Some(joined.freeze())
    }
}

/// The lines of an event, without their ends; between the two bytes of an end there is an empty one.
fn lines(raw: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(raw);
    std::iter::from_fn(move || {
        let line = rest?;
        let end = memchr::memchr2(b'\n', b'\r', line);
        rest = end.map(|end| &line[end + 1..]);
        Some(&line[..end.unwrap_or(line.len())])
    })
}

/// What stands in a line of the field `name`.
fn field_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?;
    if value.is_empty() {
        return Some(value);
    }
    let value = value.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

/// Cuts bytes into events.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
    whole: Bytes,
    searched: usize,
}

impl Decoder {
    /// Takes the next piece.
    pub fn push(&mut self, piece: Bytes) {
        if self.buffer.is_empty() && self.whole.is_empty() {
            self.whole = piece;
            self.searched = 0;
            return;
        }
        if !self.whole.is_empty() {
            self.buffer = BytesMut::from(&self.whole[..]);
            self.whole = Bytes::new();
        }
        self.buffer.extend_from_slice(&piece);
    }

    /// The next whole event, if there is one.
    ///
    /// # Errors
    /// Where an event passes [`MAX_EVENT`].
    pub fn event(&mut self) -> Result<Option<Event>, TooLong> {
        let waiting = if self.whole.is_empty() { &self.buffer[..] } else { &self.whole[..] };
        let Some(end) = event_end(waiting, self.searched) else {
            self.searched = waiting.len().saturating_sub(3);
            return if waiting.len() > MAX_EVENT { Err(TooLong) } else { Ok(None) };
        };
        self.searched = 0;
        let raw = if self.whole.is_empty() { self.buffer.split_to(end).freeze() } else { self.whole.split_to(end) };
        if self.whole.is_empty() && !self.buffer.has_remaining() {
            self.buffer = BytesMut::new();
        }
        Ok(Some(Event { raw }))
    }
}

impl Decoder {
    /// Whether bytes are there that are no whole event.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        !self.buffer.is_empty() || !self.whole.is_empty()
    }

    /// What is left when the bytes end, where its last line is whole: some servers leave out the blank line there, and some
    /// the end of that line. It comes with both.
    pub fn rest(&mut self) -> Option<Event> {
        let mut left = std::mem::take(&mut self.buffer);
        self.searched = 0;
        left.extend_from_slice(&std::mem::take(&mut self.whole));
        let has_end = left.ends_with(b"\n") || left.ends_with(b"\r");
        left.extend_from_slice(if has_end { b"\n" } else { b"\n\n" });
        let event = Event { raw: left.freeze() };
        (has_end || event.data().is_some_and(|data| is_whole(&data))).then_some(event)
    }
}

/// Whether data is not cut off: it is the mark of a stream's end, or JSON.
fn is_whole(data: &[u8]) -> bool {
    data.trim_ascii() == b"[DONE]" || serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok()
}

/// Where the first event ends: behind the blank line, whatever line ends it uses. A lone CR at the very end may be
/// half of a CRLF, so it is waited for.
fn event_end(bytes: &[u8], searched: usize) -> Option<usize> {
    let mut at = searched;
    while let Some(found) = memchr::memchr2(b'\n', b'\r', &bytes[at..]) {
        let first = line_end(bytes, at + found)?;
        match bytes.get(first) {
            None => return None,
            Some(b'\n' | b'\r') => return line_end(bytes, first),
            Some(_) => at = first,
        }
    }
    None
}

/// Where the line break at `at` ends; `None` where the next byte is needed to tell.
fn line_end(bytes: &[u8], at: usize) -> Option<usize> {
    match (bytes.get(at)?, bytes.get(at + 1)) {
        (b'\n', _) => Some(at + 1),
        (_, Some(b'\n')) => Some(at + 2),
        (_, Some(_)) => Some(at + 1),
        (_, None) => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The events of a stream.
    pub fn events(stream: Bytes) -> Vec<Event> {
        let mut decoder = Decoder::default();
        decoder.push(stream);
        std::iter::from_fn(|| decoder.event().unwrap()).collect()
    }

    fn datas(pieces: &[&[u8]]) -> Vec<String> {
        let mut decoder = Decoder::default();
        let mut found = Vec::new();
        for piece in pieces {
            decoder.push(Bytes::copy_from_slice(piece));
            while let Some(event) = decoder.event().unwrap() {
                found.extend(event.data().map(|data| String::from_utf8(data.to_vec()).unwrap()));
            }
        }
        found
    }

    const STREAM: &[u8] = "\u{feff}data: {\"a\":\"ü\"}\n\n: ping\n\ndata: one\ndata:two\n\nevent: x\r\ndata: three\r\n\r\ndata: [DONE]\n\n".as_bytes();

    #[test]
    fn every_cut_gives_the_same_events() {
        let whole = datas(&[STREAM]);
        assert_eq!(whole, ["{\"a\":\"ü\"}", "one\ntwo", "three", "[DONE]"]);
        for cut in 0..=STREAM.len() {
            assert_eq!(datas(&[&STREAM[..cut], &STREAM[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = STREAM.chunks(1).collect();
        assert_eq!(datas(&bytes), whole);
    }

    #[test]
    fn an_event_that_is_made_reads_as_one_that_came() {
        let made = Event::named("start", b"{\r\n\"a\": 1\n}");
        assert_eq!(made.name(), Some("start"));
        assert_eq!(made.data().unwrap(), "{\n\n\"a\": 1\n}");
        let mut decoder = Decoder::default();
        decoder.push(made.raw().clone());
        assert_eq!(decoder.event(), Ok(Some(made)));
        assert_eq!(Event { raw: Bytes::from_static(b"data: x\n\n") }.name(), None);
    }

    #[test]
    fn a_last_event_may_lack_the_end_of_its_line_but_nothing_of_its_data() {
        for (stream, rest) in [
            ("data: 1\n\ndata: [DONE]\n", Some("data: [DONE]\n\n")),
            ("data: 1\r\rdata: 2\r\r", Some("data: 2\r\r\n")),
            ("data: 1\n\ndata: {\"a\"", None),
            ("data: 1\n\ndata: {\"a\":1}", Some("data: {\"a\":1}\n\n")),
            ("data: 1\n\nevent: x\ndata: [DONE]", Some("event: x\ndata: [DONE]\n\n")),
            ("data: 1\n\ndata: [DON", None),
            ("data: 1\n\n: comment", None),
            ("data: 1\n\n", None),
        ] {
            let mut decoder = Decoder::default();
            decoder.push(Bytes::from_static(stream.as_bytes()));
            assert!(decoder.event().unwrap().is_some() && decoder.event() == Ok(None), "{stream:?}");
            assert_eq!(decoder.rest().map(|event| event.raw), rest.map(Bytes::from), "{stream:?}");
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(Bytes::from(vec![b'x'; MAX_EVENT]));
        assert_eq!(decoder.event(), Ok(None));
        decoder.push(Bytes::from_static(b"xx"));
        assert_eq!(decoder.event(), Err(TooLong));
    }

    proptest! {
        #[test]
        fn any_pieces_give_the_same_raw_bytes(text in "(data: [a-z]{0,3}(\n|\r\n|\r)|(\n|\r\n|\r)){0,12}x", cuts in proptest::collection::vec(0usize..60, 0..5)) {
            let raw = |pieces: Vec<&[u8]>| {
                let mut decoder = Decoder::default();
                let mut found = Vec::new();
                for piece in pieces {
                    decoder.push(Bytes::copy_from_slice(piece));
                    while let Some(event) = decoder.event().unwrap() { found.push(event.raw); }
                }
                found
            };
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            prop_assert_eq!(raw(pieces), raw(vec![bytes]));
        }
    }
}
