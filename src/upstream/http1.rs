//! HTTP/1.1 for a client: one request and one answer at a time, on a connection that the call itself reads.
//!
//! hyper's client puts channels between a call and its connection, and that was a tenth of a call's CPU (ADR 0008).

#[cfg(any(test, fuzzing))]
pub(crate) mod checked;
#[cfg(any(test, fuzzing))]
mod script;

use std::future::poll_fn;
use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use httparse::Status;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// The headers that nearly every answer has room for, and the most of an answer.
const HEADERS: usize = 64;
const MAX_HEADERS: usize = 1_024;
/// The most bytes of an answer's head, with those of interim answers before it, and of what may follow the last chunk.
const MAX_HEAD: usize = 64 << 10;
/// How much is read at once.
const READ: usize = 8 << 10;

/// A connection, with bytes that were read beyond the last answer.
pub(super) struct Connection<S> {
    stream: S,
    read: BytesMut,
    /// Whether anything came since the last answer.
    has_spoken: bool,
}

/// Why a connection brought no answer.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) error: io::Error,
    /// Whether it was closed before a byte came.
    pub(super) is_silent: bool,
}

/// An answer's head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    framing: Framing,
    /// Whether the connection can take another request when the body is read.
    reusable: bool,
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks: the next begins with its size.
    Size,
    /// So many bytes of a chunk, and the end of its line.
    Chunk(u64),
    /// The trailers after the last chunk, of which so many bytes came.
    Trailers(usize),
    /// All until the connection closes.
    Rest,
    Nothing,
}

/// Reads a body.
pub(super) struct BodyReader<S> {
    connection: Connection<S>,
    framing: Framing,
    reusable: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, read: BytesMut::new(), has_spoken: false }
    }

    /// Whether the connection takes a request: not where the other side closed it, or sent bytes without being asked.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        let mut context = Context::from_waker(std::task::Waker::noop());
        self.read.is_empty()
            && Pin::new(&mut self.stream).poll_read(&mut context, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Sends a request, whose head has its length, and reads the answer's head.
    ///
    /// # Errors
    /// Where the connection breaks, or what comes is no HTTP.
    pub(super) async fn call(mut self, head: &[u8], body: &[u8]) -> Result<(Head, BodyReader<S>), Broken> {
        let mut out = Buf::chain(head, body);
        let sent = poll_fn(|context| self.poll_send(context, &mut out)).await;
        // A server that refuses a request may answer and close before the whole request was sent.
        let answer = self.head().await;
        let head = match (sent, answer) {
            (Err(error), Err(_)) | (_, Err(error)) => return Err(Broken { error, is_silent: !self.has_spoken }),
            (_, Ok(head)) => head,
        };
        let reusable = head.reusable && !out.has_remaining();
        let framing = head.framing;
        Ok((head, BodyReader { connection: self, framing, reusable }))
    }

    /// Sends, until all is sent or an answer comes before.
    fn poll_send(&mut self, context: &mut Context<'_>, out: &mut impl Buf) -> Poll<io::Result<()>> {
        while out.has_remaining() {
            let mut slices = [IoSlice::new(&[]); 2];
            let count = out.chunks_vectored(&mut slices);
            match Pin::new(&mut self.stream).poll_write_vectored(context, &slices[..count]) {
                Poll::Ready(written) => match written? {
                    0 => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                    written => out.advance(written),
                },
                Poll::Pending => return self.poll_more(context).map_ok(drop),
            }
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Reads more; returns how many bytes, 0 at the end.
    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.read.reserve(READ);
        let before = self.read.len();
        let mut more = std::pin::pin!(self.stream.read_buf(&mut self.read));
        let read = ready!(more.as_mut().poll(context))?;
        debug_assert!(self.read.len() == before + read);
        self.has_spoken |= read > 0;
        Poll::Ready(Ok(read))
    }

    async fn more(&mut self) -> io::Result<usize> {
        poll_fn(|context| self.poll_more(context)).await
    }

    async fn head(&mut self) -> io::Result<Head> {
        let mut passed = 0;
        loop {
            if let Some((head, length)) = parse(&mut self.read)? {
                // Only one answer was asked for, so bytes after it must not be read as another.
                if head.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Err(no_http("it switches to another protocol"));
                }
                if !head.status.is_informational() {
                    return Ok(head);
                }
                passed += length;
            } else if self.read.len() + passed > MAX_HEAD {
                return Err(no_http("its head is too long"));
            } else if self.more().await? == 0 {
                return Err(cut());
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> BodyReader<S> {
    /// The next data; `None` at the body's end.
    ///
    /// # Errors
    /// Where the connection breaks or closes before, or a chunk is none.
    pub(super) async fn data(&mut self) -> io::Result<Option<Bytes>> {
        loop {
            while self.step()? {}
            match self.framing {
                Framing::Nothing | Framing::Length(0) => return Ok(None),
                Framing::Length(_) | Framing::Chunk(1..) | Framing::Rest if !self.connection.read.is_empty() => {
                    return Ok(self.take());
                }
                _ => {}
            }
            if self.connection.more().await? == 0 {
                if self.framing != Framing::Rest {
                    return Err(cut());
                }
                self.framing = Framing::Nothing;
            }
        }
    }

    /// The connection, where it can take another request: the answer is read, and no byte came beyond.
    pub(super) fn into_connection(self) -> Option<Connection<S>> {
        let is_done = matches!(self.framing, Framing::Nothing | Framing::Length(0));
        let is_free = is_done && self.reusable && self.connection.read.is_empty();
        // An idle connection needs no memory to read into.
        is_free.then(|| Connection::new(self.connection.stream))
    }

    /// What is there of the body, or of its chunk.
    fn take(&mut self) -> Option<Bytes> {
        let read = &mut self.connection.read;
        let (Framing::Length(left) | Framing::Chunk(left)) = &mut self.framing else {
            return Some(read.split().freeze());
        };
        let length = usize::try_from(*left).map_or(read.len(), |left| left.min(read.len()));
        *left -= length as u64;
        Some(read.split_to(length).freeze())
    }

    /// Skips the bytes between chunks, where they are read already; returns whether they were.
    fn step(&mut self) -> io::Result<bool> {
        let read = &mut self.connection.read;
        match self.framing {
            // httparse takes an empty line for a size of 0, which would be the body's end.
            Framing::Size if read.first().is_some_and(|first| !first.is_ascii_hexdigit()) => {
                return Err(no_http("a chunk has no size"));
            }
            Framing::Size => match httparse::parse_chunk_size(read).map_err(|_| no_http("a chunk has no size"))? {
                Status::Partial if read.len() > MAX_HEAD => return Err(no_http("a chunk has no size")),
                Status::Partial => return Ok(false),
                // To a reader that takes LF alone for a line's end, the chunk would begin there.
                Status::Complete((length, _)) if read[..length - 1].contains(&b'\n') => {
                    return Err(no_http("a chunk's size is followed by a line's end and more"));
                }
                Status::Complete((length, size)) => {
                    read.advance(length);
                    self.framing = if size == 0 { Framing::Trailers(0) } else { Framing::Chunk(size) };
                }
            },
            Framing::Chunk(0) if !b"\r\n".starts_with(&read[..read.len().min(2)]) => {
                return Err(no_http("a chunk is longer than its size"));
            }
            Framing::Chunk(0) if read.len() < 2 => return Ok(false),
            Framing::Chunk(0) => {
                read.advance(2);
                self.framing = Framing::Size;
            }
            Framing::Trailers(came) => {
                let end = memchr::memchr(b'\n', read);
                if came + end.unwrap_or(read.len()) > MAX_HEAD {
                    return Err(no_http("what follows the last chunk is too long"));
                }
                let Some(end) = end else { return Ok(false) };
                let is_last = read[..end].trim_ascii_end().is_empty();
                read.advance(end + 1);
                self.framing = if is_last { Framing::Nothing } else { Framing::Trailers(came + end) };
            }
            Framing::Length(_) | Framing::Chunk(_) | Framing::Rest | Framing::Nothing => return Ok(false),
        }
        Ok(true)
    }
}

/// Puts a request's head into `out`.
pub(super) fn write_head(
    out: &mut Vec<u8>,
    (method, path): (&Method, &str),
    host: &HeaderValue,
    headers: &HeaderMap,
    length: usize,
) {
    out.put_slice(method.as_str().as_bytes());
    out.put_slice(b" ");
    out.put_slice(path.as_bytes());
    out.put_slice(b" HTTP/1.1\r\nhost: ");
    out.put_slice(host.as_bytes());
    for (name, value) in headers {
        out.put_slice(b"\r\n");
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
    }
    if length > 0 || method == Method::POST {
        out.put_slice(b"\r\ncontent-length: ");
        out.put_slice(length.to_string().as_bytes());
    }
    out.put_slice(b"\r\n\r\n");
}

/// Why a head was not read.
enum Unread {
    /// It has more headers than there is room for.
    TooMany,
    NoHttp(io::Error),
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::NoHttp(error)
    }
}

/// Takes an answer's head, with its length, from the bytes that were read. `None` while the head is not whole.
fn parse(read: &mut BytesMut) -> io::Result<Option<(Head, usize)>> {
    let parsed = match parse_of::<HEADERS>(read) {
        Err(Unread::TooMany) => parse_of::<MAX_HEADERS>(read),
        parsed => parsed,
    };
    parsed.map_err(|unread| match unread {
        Unread::TooMany => no_http("it has too many headers"),
        Unread::NoHttp(error) => error,
    })
}

/// The same for a head with at most so many headers.
fn parse_of<const MOST: usize>(read: &mut BytesMut) -> Result<Option<(Head, usize)>, Unread> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST];
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let mut answer = httparse::Response::new(&mut []);
    let parsed = config.parse_response_with_uninit_headers(&mut answer, read, &mut fields);
    let parsed = parsed.map_err(|error| match error {
        httparse::Error::TooManyHeaders => Unread::TooMany,
        error => Unread::NoHttp(no_http(&error.to_string())),
    })?;
    let Status::Complete(length) = parsed else { return Ok(None) };
    let status =
        answer.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(|| no_http("it has no status"))?;
    let is_current = answer.version == Some(1);
    let start = read.as_ptr().addr();
    let named = answer.headers.iter().map(|field| {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| no_http("a header has no name"))?;
        let at = field.value.as_ptr().addr().saturating_sub(start);
        Ok((name, at..at + field.value.len()))
    });
    let named = named.collect::<io::Result<Vec<_>>>()?;
    // The values are slices of the head: none is copied.
    let whole = read.split_to(length).freeze();
    let mut headers = HeaderMap::with_capacity(named.len());
    for (name, at) in named {
        let value = unfolded(whole.slice(at));
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| no_http("a header has no value"))?;
        headers.append(name, value);
    }
    let is_kept = is_current && !has_token(&headers, &CONNECTION, "close");
    let framing = body_of(status, &headers)?;
    Ok(Some((Head { status, headers, framing, reusable: is_kept && framing != Framing::Rest }, length)))
}

/// A value on one line, where it was folded (RFC 9112, 5.2).
fn unfolded(value: Bytes) -> Bytes {
    if memchr::memchr2(b'\r', b'\n', &value).is_none() {
        return value;
    }
    let lines = value.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    lines.collect::<Vec<_>>().join(&b' ').into()
}

/// How an answer's head says that its body ends (RFC 9112, 6.3).
fn body_of(status: StatusCode, headers: &HeaderMap) -> io::Result<Framing> {
    if status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        return Ok(Framing::Nothing);
    }
    if headers.contains_key(TRANSFER_ENCODING) {
        // Any other coding, or several, would have to be undone; our requests ask for none. `identity` was none, once.
        let codings = parts_of(headers, &TRANSFER_ENCODING).filter(|coding| !coding.eq_ignore_ascii_case(b"identity"));
        match codings.collect::<Vec<_>>()[..] {
            [coding] if coding.eq_ignore_ascii_case(b"chunked") => return Ok(Framing::Size),
            [] => {}
            _ => return Err(no_http("its transfer-encoding is not chunked")),
        }
    }
    let mut lengths = parts_of(headers, &CONTENT_LENGTH);
    let Some(first) = lengths.next() else { return Ok(Framing::Rest) };
    match number(first) {
        Some(length) if lengths.all(|other| number(other) == Some(length)) => Ok(Framing::Length(length)),
        _ => Err(no_http("its content-length is no number")),
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok())
}

/// The parts of a header's values, which commas separate.
fn parts_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).into_iter().map(HeaderValue::as_bytes);
    values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(token))
}

fn no_http(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the answer is no HTTP/1.1: {what}"))
}

fn cut() -> io::Error {
    io::Error::new(ErrorKind::UnexpectedEof, "the connection closed before the answer was complete")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    /// What an answer brings that comes in these pieces, before its connection closes: its status, its body, and whether the
    /// connection could be used again.
    async fn read(pieces: &[&[u8]]) -> io::Result<(u16, Vec<u8>, bool)> {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let sending = async move {
            for piece in pieces {
                // A reader of the whole answer may be gone before the bytes beyond it come.
                if theirs.write_all(&piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let reading = async move {
            let called = Connection::new(ours).call(b"POST / HTTP/1.1\r\n\r\n", b"").await;
            let (head, mut body) = called.map_err(|broken| broken.error)?;
            let mut whole = Vec::new();
            while let Some(data) = body.data().await? {
                whole.extend_from_slice(&data);
            }
            Ok((head.status.as_u16(), whole, body.into_connection().is_some()))
        };
        let (read, ()) = tokio::join!(reading, sending);
        read
    }

    const GOOD: [(&str, &str, bool); 9] = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello", "hello", true),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: Keep-Alive, Close\r\n\r\nhello", "hello", false),
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhello", "hell", false),
        ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello", "hello", false),
        ("HTTP/1.1 200\r\n\r\nhello", "hello", false),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\na: b\r\n\r\nHTTP/1.1 204 No\r\n\r\n", "", true),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n2;x=y\r\nhe\r\n03\r\nllo\r\n0\r\n\r\n", "hello", true),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
            "hello",
            true,
        ),
    ];

    #[tokio::test]
    async fn a_body_ends_as_its_head_tells() {
        for (answer, body, again) in GOOD {
            let (status, read, reusable) = read(&[answer.as_bytes()]).await.unwrap();
            assert_eq!((read, reusable), (body.as_bytes().to_vec(), again), "{status} {answer}");
        }
    }

    #[tokio::test]
    async fn old_servers_forms_are_read() {
        let many: String = (0..1_000).map(|n| format!("x-{n}: y\r\n")).collect();
        for head in [
            "content-length: 5, 5\r\n",
            "content-length: 5\r\ncontent-length: 5\r\n",
            "x-folded: one\r\n two\r\n\tthree\r\ncontent-length: 5\r\n",
            "content-length:\r\n 5\r\n",
            "transfer-encoding: identity\r\ncontent-length: 5\r\n",
            &format!("{many}content-length: 5\r\n"),
        ] {
            let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\nhello");
            assert_eq!(read(&[answer.as_bytes()]).await.unwrap(), (200, b"hello".to_vec(), true), "{head:.80}");
        }
        let chunks = "transfer-encoding: identity, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
        assert_eq!(read(&[b"HTTP/1.1 200 OK\r\n", chunks.as_bytes()]).await.unwrap().1, b"hello");
        let rest = read(&[b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nhello"]).await.unwrap();
        assert_eq!(rest, (200, b"hello".to_vec(), false));
        assert_eq!(unfolded(Bytes::from_static(b"one\r\n two\r\n\tthree")), "one two three");
        let most = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(1_025));
        assert!(read(&[most.as_bytes()]).await.is_err());
    }

    #[tokio::test]
    async fn what_is_cut_or_no_http_is_an_error() {
        // Where more comes than is announced, its last byte is not missed; and without a length, none is.
        let ends_late = |answer: &str| answer.ends_with("200\r\n\r\nhello") || answer.contains("length: 4");
        for (answer, ..) in GOOD.iter().filter(|(answer, ..)| !ends_late(answer)) {
            for end in 0..answer.len() - 1 {
                assert!(read(&[&answer.as_bytes()[..end]]).await.is_err(), "{end} of {answer}");
            }
        }
        let head = "HTTP/1.1 200 OK\r\n";
        for rest in [
            "content-length: 5\r\ncontent-length: 6\r\n\r\nhello",
            "content-length: +5\r\n\r\nhello",
            "content-length: 5, 6\r\n\r\nhello",
            "content-length: 5,\r\n\r\nhello",
            "transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\nx\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
            "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            "bad header\r\n\r\n",
        ] {
            assert!(read(&[head.as_bytes(), rest.as_bytes()]).await.is_err(), "{rest}");
        }
        let endless = format!("{head}{}", "a: b\r\n".repeat(20_000));
        assert!(read(&[endless.as_bytes()]).await.is_err());
        let trailers = format!("{head}transfer-encoding: chunked\r\n\r\n0\r\n{}", "a: b\r\n".repeat(20_000));
        assert!(read(&[trailers.as_bytes()]).await.is_err());
    }

    #[tokio::test]
    async fn a_line_without_a_size_is_no_last_chunk() {
        for chunks in ["2\r\nhe\r\n\r\n", ";x\r\n\r\n", " 0\r\n\r\n", "2;x\n\r\nhe\r\n0\r\n\r\n"] {
            let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}");
            assert!(read(&[answer.as_bytes()]).await.is_err(), "{chunks:?}");
        }
    }

    #[tokio::test]
    async fn another_protocol_is_no_interim_answer() {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        assert!(read(&[answer]).await.is_err());
    }

    #[tokio::test]
    async fn an_answer_before_the_request_is_sent_is_read_and_ends_the_connection() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"HTTP/1.1 413 Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        let (head, mut body) = Connection::new(ours).call(b"POST / HTTP/1.1\r\n\r\n", &[b'x'; 1_000]).await.unwrap();
        assert_eq!((head.status.as_u16(), body.data().await.unwrap()), (413, None));
        assert!(body.into_connection().is_none());
    }

    #[tokio::test]
    async fn a_connection_that_closed_or_speaks_unasked_is_not_quiet() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut connection = Connection::new(ours);
        assert!(connection.is_quiet());
        theirs.write_all(b"HTTP/1.1 408 Late").await.unwrap();
        assert!(!connection.is_quiet());
        let (ours, theirs) = tokio::io::duplex(64);
        drop(theirs);
        assert!(!Connection::new(ours).is_quiet());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(which in 0..GOOD.len(), cuts in prop::collection::vec(0usize..200, 0..6)) {
            let (answer, body, _) = GOOD[which];
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % answer.len()).collect();
            cuts.extend([0, answer.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &answer.as_bytes()[cut[0]..cut[1]]).collect();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (_, read, _) = runtime.block_on(read(&pieces)).unwrap();
            prop_assert_eq!(read, body.as_bytes());
        }
    }
}
