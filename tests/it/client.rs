//! A client of raw bytes: it sends exactly what a test asks for, and shows exactly what came.

use std::net::SocketAddr;
use std::time::Duration;

use ::bytes::{Buf, Bytes, BytesMut};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The longest that a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One request.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: &'static str,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Call {
    pub fn new(method: &'static str, path: &str, body: impl Into<Bytes>) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: body.into() }
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path, Bytes::new())
    }

    pub fn post(path: &str, body: &Value) -> Self {
        Self::new("POST", path, body.to_string())
    }

    pub fn chat(body: &Value) -> Self {
        Self::post("/v1/chat/completions", body)
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn key(self, key: &str) -> Self {
        self.header("authorization", &format!("Bearer {key}"))
    }

    fn head(&self) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: fulcrum.test\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let has = |name: &str| self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name));
        if self.method != "GET" && !has("content-length") {
            head.push_str(&format!("content-length: {}\r\n", self.body.len()));
        }
        if !self.body.is_empty() && !has("content-type") {
            head.push_str("content-type: application/json\r\n");
        }
        head + "\r\n"
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    /// Whether the body came to its announced end.
    pub is_whole: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn id(&self) -> &str {
        self.header("x-fulcrum-request-id").expect("every answer names its request")
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the answer is text")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// `error.code`, or empty.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body.pointer("/error/code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// `error.param`, or empty.
    pub fn param(&self) -> String {
        self.json().pointer("/error/param").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    /// Status and code in one, to compare with.
    pub fn outcome(&self) -> String {
        format!("{} {}", self.status, self.code()).trim().to_owned()
    }
}

/// An answer whose body is read as it comes.
pub struct Open {
    socket: TcpStream,
    buffer: BytesMut,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    left: Left,
}

enum Left {
    Bytes(usize),
    Chunks,
    UntilEof,
    Nothing,
    Broken,
}

impl Open {
    /// Sends `call` and waits for the head of its answer.
    pub async fn send(address: SocketAddr, call: &Call) -> std::io::Result<Self> {
        let mut socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let mut bytes = call.head().into_bytes();
        bytes.extend_from_slice(&call.body);
        // A server that answers early may close before it read all.
        let (mut reader, mut writer) = socket.split();
        let mut buffer = BytesMut::new();
        let writing = async { drop(writer.write_all(&bytes).await) };
        let reading = read_head(&mut reader, &mut buffer);
        let both = async {
            tokio::pin!(writing, reading);
            tokio::select! {
                biased;
                head = &mut reading => head,
                () = &mut writing => reading.await,
            }
        };
        let head = timeout(PATIENCE, both).await.map_err(|_| std::io::Error::other("no head came"))??;
        Ok(Self::of(&head, socket, buffer))
    }

    /// Sends `call` and reads all of its answer, for a task of its own.
    pub async fn of_call(address: SocketAddr, call: Call) -> Answer {
        Self::send(address, &call).await.expect("an answer comes").rest().await
    }

    /// Reads the head of an answer from a socket that was written to already.
    pub async fn read(mut socket: TcpStream) -> std::io::Result<Self> {
        let mut buffer = BytesMut::new();
        let reading = read_head(&mut socket, &mut buffer);
        let head = timeout(PATIENCE, reading).await.map_err(|_| std::io::Error::other("no head came"))??;
        Ok(Self::of(&head, socket, buffer))
    }

    fn of(head: &str, socket: TcpStream, buffer: BytesMut) -> Self {
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|text| text.parse().ok());
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let left = match (header("transfer-encoding"), header("content-length")) {
            (Some("chunked"), _) => Left::Chunks,
            (_, Some(length)) => Left::Bytes(length.parse().unwrap()),
            _ => Left::UntilEof,
        };
        Self { socket, buffer, status: status.expect("a status line"), headers, left }
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The next piece of the body; `None` at its end, clean or not.
    pub async fn piece(&mut self) -> Option<Bytes> {
        timeout(PATIENCE, self.next()).await.expect("the body went on")
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(piece) = self.take() {
                return (!piece.is_empty()).then_some(piece);
            }
            let read = self.socket.read_buf(&mut self.buffer).await;
            if !matches!(read, Ok(1..)) {
                let clean = matches!((&self.left, read), (Left::UntilEof, Ok(0)));
                self.left = if clean { Left::Nothing } else { Left::Broken };
                return None;
            }
        }
    }

    /// What of the body is there; an empty piece at the end; `None` where more must be read.
    fn take(&mut self) -> Option<Bytes> {
        match &mut self.left {
            Left::Nothing | Left::Broken => Some(Bytes::new()),
            Left::Bytes(0) => {
                self.left = Left::Nothing;
                Some(Bytes::new())
            }
            _ if self.buffer.is_empty() => None,
            Left::UntilEof => Some(self.buffer.split().freeze()),
            Left::Bytes(left) => {
                let some = self.buffer.len().min(*left);
                *left -= some;
                Some(self.buffer.split_to(some).freeze())
            }
            Left::Chunks => {
                let line = self.buffer.windows(2).position(|two| two == b"\r\n")?;
                let size = std::str::from_utf8(&self.buffer[..line]).unwrap();
                let size = usize::from_str_radix(size, 16).unwrap();
                if self.buffer.len() < line + size + 4 {
                    return None;
                }
                self.buffer.advance(line + 2);
                let piece = self.buffer.split_to(size).freeze();
                self.buffer.advance(2);
                if piece.is_empty() {
                    self.left = Left::Nothing;
                }
                Some(piece)
            }
        }
    }

    /// All of the body.
    pub async fn rest(mut self) -> Answer {
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece().await {
            body.extend_from_slice(&piece);
        }
        let is_whole = matches!(self.left, Left::Nothing | Left::Bytes(0));
        Answer { status: self.status, headers: self.headers, body: body.freeze(), is_whole }
    }

    /// Reads until `text` came; everything so far.
    pub async fn until(&mut self, text: &str) -> String {
        let mut seen = String::new();
        while !seen.contains(text) {
            let piece = self.piece().await.unwrap_or_else(|| panic!("`{text}` did not come: {seen}"));
            seen.push_str(std::str::from_utf8(&piece).unwrap());
        }
        seen
    }
}

async fn read_head(reader: &mut (impl AsyncReadExt + Unpin), buffer: &mut BytesMut) -> std::io::Result<String> {
    loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = buffer.split_to(end + 4);
            return Ok(String::from_utf8_lossy(&head[..end]).into_owned());
        }
        if reader.read_buf(buffer).await? == 0 {
            return Err(std::io::Error::other("the connection ended before an answer's head"));
        }
    }
}
