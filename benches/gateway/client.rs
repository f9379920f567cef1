//! A HTTP/1.1 client that costs next to nothing: one connection, requests made beforehand, answers only counted.

use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::Result;

/// Longer than this no answer may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// One connection that stays open.
pub(crate) struct Conn {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    filled: usize,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// From the request's first byte to the body's first.
    pub(crate) first: Duration,
    /// To its last.
    pub(crate) last: Duration,
}

enum Length {
    Known(usize),
    Chunked,
    ToTheEnd,
}

impl Conn {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, stream: None, buffer: vec![0; 64 * 1024], filled: 0 }
    }

    /// Sends one request and reads its answer; `body` gets each piece of the body as it comes.
    pub(crate) async fn call(&mut self, request: &[u8], body: &mut impl FnMut(&[u8])) -> Result<Reply> {
        match timeout(PATIENCE, self.exchange(request, body)).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(error)) => {
                self.stream = None;
                Err(error.into())
            }
            Err(_) => {
                self.stream = None;
                Err("no answer in time".into())
            }
        }
    }

    async fn exchange(&mut self, request: &[u8], body: &mut impl FnMut(&[u8])) -> std::io::Result<Reply> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await?;
            stream.set_nodelay(true)?;
            self.stream = Some(stream);
        }
        self.filled = 0;
        let start = Instant::now();
        self.stream()?.write_all(request).await?;
        let head = loop {
            if let Some(end) = memmem::find(&self.buffer[..self.filled], b"\r\n\r\n") {
                break end + 4;
            }
            self.more().await?;
        };
        let (status, length, keep) = read_head(&self.buffer[..head])?;
        self.drop_front(head);
        let first = match length {
            Length::Known(length) => self.read_known(length, body).await?,
            Length::Chunked => self.read_chunks(body).await?,
            Length::ToTheEnd => self.read_to_end(body).await?,
        };
        let last = start.elapsed();
        if !keep || matches!(length, Length::ToTheEnd) {
            self.stream = None;
        }
        Ok(Reply { status, first: first.unwrap_or_else(Instant::now) - start, last })
    }

    fn stream(&mut self) -> std::io::Result<&mut TcpStream> {
        self.stream.as_mut().ok_or_else(|| Error::from(ErrorKind::NotConnected))
    }

    /// Reads once; the connection's end is an error.
    async fn more(&mut self) -> std::io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let stream = self.stream.as_mut().ok_or_else(|| Error::from(ErrorKind::NotConnected))?;
        match stream.read(&mut self.buffer[self.filled..]).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            read => {
                self.filled += read;
                Ok(())
            }
        }
    }

    fn drop_front(&mut self, count: usize) {
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    async fn read_known(&mut self, length: usize, body: &mut impl FnMut(&[u8])) -> std::io::Result<Option<Instant>> {
        let mut first = (self.filled > 0).then(Instant::now);
        let mut left = length;
        loop {
            let now = self.filled.min(left);
            body(&self.buffer[..now]);
            self.drop_front(now);
            left -= now;
            if left == 0 {
                return Ok(first);
            }
            self.more().await?;
            first.get_or_insert_with(Instant::now);
        }
    }

    async fn read_chunks(&mut self, body: &mut impl FnMut(&[u8])) -> std::io::Result<Option<Instant>> {
        let mut first = None;
        let mut at = 0;
        loop {
            // All that is here is taken before the buffer moves.
            while let Some(line) = memmem::find(&self.buffer[at..self.filled], b"\r\n") {
                let size = chunk_size(&self.buffer[at..at + line])?;
                let start = at + line + 2;
                if self.filled < start + size + 2 {
                    break;
                }
                at = start + size + 2;
                if size == 0 {
                    self.drop_front(at);
                    return Ok(first);
                }
                first.get_or_insert_with(Instant::now);
                body(&self.buffer[start..start + size]);
            }
            self.drop_front(at);
            at = 0;
            self.more().await?;
        }
    }

    async fn read_to_end(&mut self, body: &mut impl FnMut(&[u8])) -> std::io::Result<Option<Instant>> {
        let mut first = None;
        loop {
            if self.filled > 0 {
                first.get_or_insert_with(Instant::now);
                body(&self.buffer[..self.filled]);
                self.filled = 0;
            }
            match self.more().await {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(first),
                Err(error) => return Err(error),
            }
        }
    }
}

fn read_head(head: &[u8]) -> std::io::Result<(u16, Length, bool)> {
    let bad = || Error::from(ErrorKind::InvalidData);
    let text = std::str::from_utf8(head).map_err(|_| bad())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let (mut length, mut keep) = (Length::ToTheEnd, true);
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            length = Length::Known(value.parse().map_err(|_| bad())?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            length = Length::Chunked;
        } else if name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close") {
            keep = false;
        }
    }
    Ok((status.ok_or_else(bad)?, length, keep))
}

fn chunk_size(line: &[u8]) -> std::io::Result<usize> {
    let digits = line.split(|byte| *byte == b';').next().unwrap_or(line);
    let digits = std::str::from_utf8(digits).map_err(|_| Error::from(ErrorKind::InvalidData))?;
    usize::from_str_radix(digits.trim(), 16).map_err(|_| ErrorKind::InvalidData.into())
}

/// A `POST` of JSON, ready to be sent again and again.
pub(crate) fn post(path: &str, headers: &[(String, String)], body: &str) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nuser-agent: bench\r\naccept: */*\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    request.push_str(body);
    request.into_bytes()
}
