//! Finds heads that have both a length and chunks, of which hyper forgets the length.
//!
//! RFC 9112, 6.3: such a request may be an attempt to smuggle another, and a server may refuse it. What stands before the
//! gateway may go by the length, and the gateway by the chunks.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Finds the end of a head; made once, since making it costs more than a search.
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// The most bytes of a head that are collected: more than the server's buffer takes.
const MOST: usize = 160 << 10;

/// Reads along while heads come.
#[derive(Default)]
pub struct HeadWatch {
    /// What came of a head that is not whole yet.
    partial: Vec<u8>,
}

impl HeadWatch {
    /// Whether a head that ends in these bytes has a length and chunks.
    pub fn is_ambiguous(&mut self, bytes: &[u8]) -> bool {
        let ends = END.find(bytes).is_some();
        if self.partial.is_empty() && ends {
            // Nearly every head comes whole, and has no chunks.
            return mentions_chunks(bytes) && has_both(bytes);
        }
        if self.partial.len() + bytes.len() > MOST {
            self.partial = Vec::new();
            return false;
        }
        self.partial.extend_from_slice(bytes);
        if END.find(&self.partial).is_none() {
            return false;
        }
        let head = std::mem::take(&mut self.partial);
        has_both(&head)
    }
}

fn mentions_chunks(bytes: &[u8]) -> bool {
    let mut dashes = memchr::memchr_iter(b'-', bytes);
    dashes.any(|at| at.checked_sub(8).is_some_and(|from| bytes[from..at].eq_ignore_ascii_case(b"transfer")))
}

fn has_both(bytes: &[u8]) -> bool {
    let head = &bytes[..END.find(bytes).unwrap_or(bytes.len())];
    let has = |wanted: &[u8]| {
        let names =
            head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| line.split(|byte| *byte == b':').next());
        names.into_iter().any(|name| name.trim_ascii().eq_ignore_ascii_case(wanted))
    };
    has(b"transfer-encoding") && has(b"content-length")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_found_in_any_order_case_and_pieces() {
        let both = "POST / HTTP/1.1\r\nTRANSFER-Encoding: chunked\r\nHost: x\r\nContent-length: 4\r\n\r\nbody";
        for at in 1..both.len() - 5 {
            let mut watch = HeadWatch::default();
            let (first, second) = both.as_bytes().split_at(at);
            assert!(!watch.is_ambiguous(first) && watch.is_ambiguous(second), "{at}");
        }
        assert!(HeadWatch::default().is_ambiguous(both.as_bytes()));
    }

    #[test]
    fn a_body_is_no_head() {
        let part = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n--x\r\ncontent-length: 4\r\n\r\n";
        assert!(!HeadWatch::default().is_ambiguous(part.as_bytes()));
        let one = "POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\n\r\ntransfer-encoding: x\r\n\r\n";
        assert!(!HeadWatch::default().is_ambiguous(one.as_bytes()));
    }

    #[test]
    fn an_endless_head_is_not_collected() {
        let mut watch = HeadWatch::default();
        for _ in 0..100 {
            assert!(!watch.is_ambiguous(&[b'x'; 8 << 10]));
            assert!(watch.partial.len() <= MOST);
        }
    }
}
