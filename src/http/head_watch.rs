//! Finds heads that have both a length and chunks, of which hyper forgets the length.
//!
//! RFC 9112, 6.3: such a request may be an attempt to smuggle another, and a server may refuse it. What stands before the
//! gateway may go by the length, and the gateway by the chunks. A caller may send several requests at once, so the watch follows
//! each request to its end, as hyper does.

use memchr::{memchr, memchr_iter};

/// The most bytes of a line that are collected: more than the server's buffer takes.
const LONGEST_LINE: usize = 160 << 10;

/// Reads along with the requests of a connection.
#[derive(Default)]
pub struct HeadWatch {
    at: At,
    /// What came of a line that is not whole yet.
    partial: Vec<u8>,
    /// How many heads began.
    requests: u64,
}

/// Where in a request the next byte stands.
#[derive(Default)]
enum At {
    /// Before a head, whose first line may follow empty ones.
    #[default]
    Start,
    /// In a head.
    Head(Head),
    /// In a body, before so many bytes of it.
    Body(u64),
    /// In chunks, before a line with a size.
    Size,
    /// In a chunk, before so many bytes of it, its end included.
    Chunk(u64),
    /// Behind the last chunk, before a line.
    Trailer,
    /// Nowhere that is known: what came is no request, and hyper refuses it too.
    Lost,
}

/// What a head says of the body behind it.
#[derive(Clone, Copy, Default)]
struct Head {
    length: Option<u64>,
    has_chunks: bool,
}

impl HeadWatch {
    /// Whether nothing came yet.
    pub fn is_at_start(&self) -> bool {
        self.requests == 0 && self.partial.is_empty() && matches!(self.at, At::Start)
    }

    /// Reads on; the number of the first request, from 1, whose head has a length and chunks, where that head ends here.
    pub fn read(&mut self, mut bytes: &[u8]) -> Option<u64> {
        while !bytes.is_empty() {
            match &mut self.at {
                At::Lost => return None,
                At::Body(left) => {
                    bytes = &bytes[skip(left, bytes.len())..];
                    if *left == 0 {
                        self.at = At::Start;
                    }
                }
                At::Chunk(left) => {
                    bytes = &bytes[skip(left, bytes.len())..];
                    if *left == 0 {
                        self.at = At::Size;
                    }
                }
                At::Start
                    if self.partial.is_empty()
                        && let Some((head, end)) = head_at_once(bytes) =>
                {
                    (self.requests, bytes) = (self.requests + 1, &bytes[end..]);
                    if head.has_both() {
                        return Some(self.requests);
                    }
                    self.at = head.body();
                }
                At::Start | At::Head(_) | At::Size | At::Trailer => {
                    let (line, rest) = bytes.split_at(memchr(b'\n', bytes).map_or(bytes.len(), |end| end + 1));
                    bytes = rest;
                    if self.line_goes_on(line) {
                        return None;
                    }
                    let whole = std::mem::take(&mut self.partial);
                    if self.line(if whole.is_empty() { line } else { &whole }) {
                        return Some(self.requests);
                    }
                }
            }
        }
        None
    }

    /// Collects a line that comes in pieces; whether more of it is to come.
    fn line_goes_on(&mut self, piece: &[u8]) -> bool {
        let ends = piece.ends_with(b"\n");
        if ends && self.partial.is_empty() {
            return false;
        }
        if self.partial.len() + piece.len() > LONGEST_LINE {
            (self.at, self.partial) = (At::Lost, Vec::new());
            return true;
        }
        self.partial.extend_from_slice(piece);
        !ends
    }

    /// Goes on behind a line; whether a head ends with it that has a length and chunks.
    fn line(&mut self, line: &[u8]) -> bool {
        let line = line.trim_ascii_end();
        self.at = match self.at {
            At::Start | At::Trailer if line.is_empty() => At::Start,
            At::Start => {
                self.requests += 1;
                At::Head(Head::default())
            }
            At::Head(head) if line.is_empty() && head.has_both() => return true,
            At::Head(head) if line.is_empty() => head.body(),
            At::Head(head) => At::Head(head.with(line)),
            At::Size => size(line).map_or(At::Lost, |size| match size {
                0 => At::Trailer,
                // The chunk's own end is two bytes.
                size => At::Chunk(size.saturating_add(2)),
            }),
            At::Trailer => At::Trailer,
            At::Body(_) | At::Chunk(_) | At::Lost => At::Lost,
        };
        false
    }
}

/// A whole head, and where it ends: most come in one piece.
fn head_at_once(bytes: &[u8]) -> Option<(Head, usize)> {
    let mut ends = memchr_iter(b'\n', bytes);
    let mut from = ends.next()? + 1;
    if bytes[..from].trim_ascii_end().is_empty() {
        return None;
    }
    let mut head = Head::default();
    for end in ends {
        let line = &bytes[from..end];
        from = end + 1;
        if line.first().is_none_or(u8::is_ascii_whitespace) && line.trim_ascii_end().is_empty() {
            return Some((head, from));
        }
        head = head.with(line);
    }
    None
}

impl Head {
    fn has_both(self) -> bool {
        self.length.is_some() && self.has_chunks
    }

    /// The head with one more line.
    fn with(mut self, line: &[u8]) -> Self {
        // Most fields begin otherwise.
        if !matches!(line.first(), Some(b'c' | b'C' | b't' | b'T')) {
            return self;
        }
        let Some(colon) = memchr(b':', line) else { return self };
        let (name, value) = (line[..colon].trim_ascii_end(), line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"content-length") {
            self.length = Some(str::from_utf8(value).ok().and_then(|value| value.parse().ok()).unwrap_or(0));
        }
        self.has_chunks |= name.eq_ignore_ascii_case(b"transfer-encoding");
        self
    }

    fn body(self) -> At {
        match self {
            Self { has_chunks: true, .. } => At::Size,
            Self { length: None | Some(0), .. } => At::Start,
            Self { length: Some(length), .. } => At::Body(length),
        }
    }
}

/// Passes over as many bytes as there are, up to what is left of something.
fn skip(left: &mut u64, there: usize) -> usize {
    let passed = usize::try_from(*left).unwrap_or(usize::MAX).min(there);
    *left -= passed as u64;
    passed
}

/// The size in the line before a chunk, without its extensions.
fn size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    u64::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: &str = "POST / HTTP/1.1\r\nTRANSFER-Encoding: chunked\r\nHost: x\r\nContent-length: 4\r\n\r\n";

    /// What is found of `text` in one piece, which must be the same in any two and byte by byte.
    fn found(text: &str) -> Option<u64> {
        let whole = HeadWatch::default().read(text.as_bytes());
        for at in 1..text.len() {
            let mut watch = HeadWatch::default();
            let (first, second) = text.as_bytes().split_at(at);
            assert_eq!(watch.read(first).or_else(|| watch.read(second)), whole, "{text} at {at}");
        }
        let mut watch = HeadWatch::default();
        assert_eq!(text.as_bytes().chunks(1).find_map(|byte| watch.read(byte)), whole, "{text}");
        whole
    }

    #[test]
    fn both_are_found_in_any_order_case_and_pieces() {
        assert_eq!(found(&format!("{BOTH}body")), Some(1));
        assert_eq!(found("GET / HTTP/1.1\ncontent-length: 4\ntransfer-encoding: x\n\n"), Some(1), "lines may end bare");
        assert_eq!(found(&format!("\r\n\r\n{BOTH}")), Some(1), "empty lines may stand before");
    }

    #[test]
    fn both_are_found_behind_other_requests() {
        let plain = "POST /a HTTP/1.1\r\ncontent-length: 5\r\n\r\n\r\n\r\nx";
        let bare = "GET /b HTTP/1.1\r\nhost: x\r\n\r\n";
        let chunks = "POST /c HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\n12345\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n";
        for (before, number) in
            [(plain.to_owned(), 2), (bare.to_owned(), 2), (chunks.to_owned(), 2), ([plain, chunks, bare].concat(), 4)]
        {
            assert_eq!(found(&format!("{before}{BOTH}")), Some(number), "{before}");
            assert_eq!(found(&before), None, "{before}");
        }
    }

    #[test]
    fn a_body_is_no_head() {
        let inner = BOTH.len();
        assert_eq!(found(&format!("POST / HTTP/1.1\r\ncontent-length: {inner}\r\n\r\n{BOTH}")), None);
        let chunk = format!("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n{inner:x}\r\n{BOTH}\r\n0\r\n\r\n");
        assert_eq!(found(&chunk), None);
    }

    #[test]
    fn an_endless_line_is_not_collected() {
        let mut watch = HeadWatch::default();
        for _ in 0..100 {
            assert_eq!(watch.read(&[b'x'; 8 << 10]), None);
            assert!(watch.partial.len() <= LONGEST_LINE);
        }
    }
}
