//! What must hold of any bytes that come as an answer: how they are cut does not matter, and hyper's client reads the same,
//! but for what a table names.

use std::cell::RefCell;

use bytes::Bytes;
use futures_util::future::{Either, select};
use http::header::TRANSFER_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::script::{Script, run};
use super::{Connection, MAX_HEADERS};

/// How reading ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The answer is complete. Whether its connection takes another request.
    Complete { reusable: bool },
    /// The connection broke, closed too early, or brought what is no HTTP.
    Failed,
    /// More must come, and the connection is open.
    Waits,
}

/// An answer, as far as it was read.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    head: Option<(StatusCode, HeaderMap)>,
    body: Vec<u8>,
    end: End,
}

/// Collects what is read, so that it is available where reading never ends.
type Notes = RefCell<Seen>;

fn seen(read: impl AsyncFnOnce(&Notes) -> Option<bool>) -> Seen {
    let notes = RefCell::new(Seen { head: None, body: Vec::new(), end: End::Waits });
    let end = match run(read(&notes)) {
        Some(Some(reusable)) => End::Complete { reusable },
        Some(None) => End::Failed,
        None => End::Waits,
    };
    Seen { end, ..notes.into_inner() }
}

/// Reads the script with our reader.
fn ours(script: Script) -> Seen {
    seen(async |notes| {
        let (head, mut reading) = Connection::new(script).call(b"POST / HTTP/1.1\r\n\r\n", b"").await.ok()?;
        notes.borrow_mut().head = Some((head.status, head.headers));
        while let Some(data) = reading.data().await.ok()? {
            notes.borrow_mut().body.extend_from_slice(&data);
        }
        Some(reading.into_connection().is_some_and(|mut connection| connection.is_quiet()))
    })
}

/// Reads the script with hyper.
fn theirs(script: Script) -> Seen {
    seen(async |notes| {
        let mut begin = http1::Builder::new();
        begin.max_headers(MAX_HEADERS).allow_obsolete_multiline_headers_in_responses(true);
        let (mut sender, connection) = begin.handshake(TokioIo::new(script)).await.ok()?;
        let call = async {
            let request = Request::post("/").body(Empty::<Bytes>::new()).ok()?;
            let (head, mut body) = sender.send_request(request).await.ok()?.into_parts();
            notes.borrow_mut().head = Some((head.status, head.headers));
            while let Some(frame) = body.frame().await {
                if let Ok(data) = frame.ok()?.into_data() {
                    notes.borrow_mut().body.extend_from_slice(&data);
                }
            }
            let is_ready = sender.ready().await.is_ok();
            // hyper's connection notices unasked bytes only when it is polled again.
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
            Some(is_ready && !sender.is_closed())
        };
        match select(Box::pin(connection), std::pin::pin!(call)).await {
            // Dropped here, as in a task that ended.
            Either::Left((_, call)) => call.await,
            Either::Right((seen, _)) => seen,
        }
    })
}

/// What we do otherwise than hyper, and why.
struct Difference {
    #[cfg_attr(fuzzing, expect(dead_code, reason = "a name for readers and for the test"))]
    name: &'static str,
    /// An answer that shows the difference.
    #[cfg_attr(fuzzing, expect(dead_code, reason = "the test runs it"))]
    example: &'static str,
    /// Whether the difference can explain these two readings: ours, and hyper's.
    explains: fn(&[u8], &Seen, &Seen) -> bool,
}

const DIFFERENCES: [Difference; 7] = [
    Difference {
        name: "`identity` is no coding, as it was none once: the length counts.",
        example: "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 5\r\n\r\nhello",
        explains: |_, _, theirs| headers(theirs, &TRANSFER_ENCODING).any(|coding| has(coding, b"dentity")),
    },
    Difference {
        name: "Any coding but chunked is refused: nobody asked for one, and nobody would undo it.",
        example: "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        explains: |_, ours, theirs| {
            let codings: Vec<&[u8]> = headers(theirs, &TRANSFER_ENCODING).collect();
            refused(ours) && !matches!(codings[..], [coding] if coding.eq_ignore_ascii_case(b"chunked"))
        },
    },
    Difference {
        name: "Chunks are read in HTTP/1.0 too, and the connection is closed after them, as RFC 9112 (6.1) asks.",
        example: "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        explains: |data, ours, theirs| {
            refused(theirs)
                && is_chunked(ours)
                && has(data, b"HTTP/1.0")
                && ours.end != End::Complete { reusable: true }
        },
    },
    Difference {
        name: "HTTP/1.0 is called once on a connection, even where it offers to keep it.",
        example: "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
        explains: |data, ours, theirs| {
            let once = Seen { end: End::Complete { reusable: false }, ..theirs.clone() };
            has(data, b"HTTP/1.0") && *ours == once
        },
    },
    Difference {
        name: "Another protocol is refused: nobody asked for one.",
        example: "HTTP/1.1 101 Switching\r\n\r\n",
        explains: |_, ours, theirs| {
            let switches = theirs.head.as_ref().is_some_and(|(status, _)| *status == StatusCode::SWITCHING_PROTOCOLS);
            switches && refused(ours)
        },
    },
    Difference {
        name: "What follows the last chunk is passed over up to a blank line, and no header need stand there.",
        example: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nnone\n\n",
        explains: |data, ours, theirs| {
            is_chunked(ours) && ours.head == theirs.head && ours.body == theirs.body && has_trailers(data)
        },
    },
    Difference {
        name: "A chunk's size has at most 16 digits, zeros counted.",
        example: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n00000000000000000\r\n\r\n",
        explains: |data, ours, theirs| {
            let is_long = data.split(|byte| !byte.is_ascii_hexdigit()).any(|digits| digits.len() > 16);
            is_chunked(ours) && ours.head == theirs.head && ours.end == End::Failed && is_long
        },
    },
];

/// Whether not even a head was read.
fn refused(seen: &Seen) -> bool {
    seen.head.is_none() && seen.end == End::Failed
}

fn headers<'a>(seen: &'a Seen, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let headers = seen.head.as_ref().map(|(_, headers)| headers);
    headers.into_iter().flat_map(move |headers| headers.get_all(name)).map(HeaderValue::as_bytes)
}

fn is_chunked(seen: &Seen) -> bool {
    headers(seen, &TRANSFER_ENCODING).next().is_some()
}

fn has(data: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(data, part).is_some()
}

/// Whether something else than a blank line may follow a last chunk.
fn has_trailers(data: &[u8]) -> bool {
    memchr::memmem::find_iter(data, b"\r\n0").any(|at| {
        let rest = data[at + 2..].trim_ascii_start();
        let line = memchr::memchr(b'\n', rest).map(|end| rest.split_at(end + 1));
        line.is_some_and(|(size, after)| {
            let digits = size.iter().take_while(|byte| **byte == b'0').count();
            !size[digits].is_ascii_hexdigit() && !after.starts_with(b"\r\n")
        })
    })
}

/// Reads an answer that arrives in each of these ways.
pub(crate) fn answer(data: &[u8], ways: &[Vec<Bytes>]) {
    for closes in [true, false] {
        let script = |pieces: &[Bytes]| Script::new(pieces.to_vec(), closes);
        let whole = ours(Script::new([Bytes::copy_from_slice(data)], closes));
        for pieces in ways {
            assert_eq!(ours(script(pieces)), whole, "cut as {pieces:?}");
            let theirs = theirs(script(pieces));
            let is_known = || DIFFERENCES.iter().any(|difference| (difference.explains)(data, &whole, &theirs));
            assert!(
                whole == theirs || is_known(),
                "we and hyper differ on {:?}, cut as {pieces:?}, closed after: {closes}\n{whole:?}\n{theirs:?}",
                String::from_utf8_lossy(data)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What answers are made of.
    const PIECES: [&str; 40] = [
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 204\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Hints\r\nlink: a\r\n\r\n",
        "HTTP/1.1 101 Switching\r\n\r\n",
        "HTTP/1.1 500 \r\n",
        "HTTP/2 200\r\n",
        "content-length: 5\r\n",
        "Content-Length: 05\r\n",
        "content-length: 0\r\n",
        "content-length: 5, 5\r\n",
        "content-length: -1\r\n",
        "content-length:\r\n",
        "transfer-encoding: chunked\r\n",
        "Transfer-Encoding: Chunked\r\n",
        "transfer-encoding: gzip\r\n",
        "connection: close\r\n",
        "connection: keep-alive\r\n",
        "Connection: a, Close\r\n",
        "a: b\r\n",
        "a : b\r\n",
        "a: \u{e4}\r\n",
        " folded\r\n",
        "\r\n",
        "\n",
        "\r",
        "5\r\n",
        "5;a=b\r\n",
        "5 \r\n",
        "5;a\nb\r\n",
        "0\r\n",
        "0;x\r\n",
        "00000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "hello",
        "hello\r\n",
        "0\r\n\r\n",
    ];

    #[test]
    fn each_difference_from_hyper_is_still_one() {
        for Difference { name, example, explains } in DIFFERENCES {
            let script = || Script::new([Bytes::from_static(example.as_bytes())], false);
            let (ours, theirs) = (ours(script()), theirs(script()));
            assert!(ours != theirs && explains(example.as_bytes(), &ours, &theirs), "{name}\n{ours:?}\n{theirs:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        #[test]
        fn hyper_reads_what_we_read(
            head in prop::collection::vec(0usize..26, 1..5),
            body in prop::collection::vec(0usize..PIECES.len(), 0..8),
            cuts in prop::collection::vec(0usize..300, 0..4),
        ) {
            let text: String = head.iter().chain(&[26]).chain(&body).map(|piece| PIECES[*piece]).collect();
            let data = Bytes::from(text);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (data.len() + 1)).collect();
            cuts.extend([0, data.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| data.slice(cut[0]..cut[1])).collect();
            answer(&data, &[vec![data.clone()], pieces]);
        }
    }
}
