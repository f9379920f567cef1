//! A scripted upstream over raw TCP: it misbehaves byte by byte, and writes down what it received.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::bytes::{Bytes, BytesMut};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::client::PATIENCE;

/// What one request gets.
#[derive(Clone, Debug, Default)]
pub struct Script(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    /// These bytes at once.
    Send(Bytes),
    /// These bytes one by one, a pause after each.
    Drip(Bytes, Duration),
    /// These bytes again and again.
    Repeat(Bytes),
    /// Nothing until the test says so.
    Gate(Arc<Semaphore>),
    /// A permit for the test: all before this was sent.
    Signal(Arc<Semaphore>),
    /// Nothing any more.
    Stall,
    /// The connection's end, clean.
    Fin,
    /// The connection's end, by a reset.
    Reset,
}

/// The head of an event stream's answer.
pub const SSE: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// The head of an answer of Amazon's binary frames.
pub const FRAMES: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A whole answer.
pub const WHOLE: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-x","choices":[{"index":0,"message":{"role":"assistant","content":"Hello there."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}"#;

/// The same as a stream, usage included.
pub const EVENTS: [&str; 7] = [
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" there\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\".\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-x\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":null}\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"gpt-x\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":3,\"total_tokens\":12}}\n\n",
    "data: [DONE]\n\n",
];

/// What a caller who did not ask for usage reads of [`EVENTS`].
pub fn without_usage() -> String {
    let events = EVENTS.iter().filter(|event| !event.contains("\"choices\":[],"));
    events.map(|event| event.replace(",\"usage\":null", "")).collect()
}

/// One chunk of a chunked body.
fn chunk(bytes: &[u8]) -> Bytes {
    let mut out = format!("{:x}\r\n", bytes.len()).into_bytes();
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
    out.into()
}

impl Script {
    /// Bytes as they are.
    pub fn raw(bytes: impl Into<Bytes>) -> Self {
        Self::default().send(bytes)
    }

    /// A whole answer of any status, type and further headers.
    pub fn reply(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        let mut bytes = format!("HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\n\r\n", body.len()).into_bytes();
        bytes.extend_from_slice(body);
        Self::raw(bytes)
    }

    /// A whole JSON answer.
    pub fn json(status: u16, body: impl AsRef<[u8]>) -> Self {
        Self::reply(status, "content-type: application/json\r\n", body)
    }

    /// An error in OpenAI's form.
    pub fn error(status: u16, message: &str) -> Self {
        Self::json(status, json!({"error": {"message": message, "type": "t", "param": null, "code": null}}).to_string())
    }

    /// A 429 with these headers.
    pub fn throttled(headers: &str) -> Self {
        let headers = format!("content-type: application/json\r\n{headers}");
        Self::reply(429, &headers, r#"{"error":{"message":"slow down"}}"#)
    }

    /// A stream's head.
    pub fn sse() -> Self {
        Self::raw(SSE)
    }

    /// A whole stream of these pieces, each a chunk of its own.
    pub fn stream<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> Self {
        Self::sse().chunks(pieces).ended()
    }

    /// A whole stream of Amazon's binary frames, each a chunk of its own.
    pub fn frames<T: AsRef<[u8]>>(frames: impl IntoIterator<Item = T>) -> Self {
        Self::raw(FRAMES).chunks(frames).ended()
    }

    pub fn chunks<T: AsRef<[u8]>>(self, pieces: impl IntoIterator<Item = T>) -> Self {
        pieces.into_iter().fold(self, |script, piece| script.send(chunk(piece.as_ref())))
    }

    /// The chunk that ends a chunked body.
    pub fn ended(self) -> Self {
        self.send("0\r\n\r\n")
    }

    pub fn send(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Send(bytes.into()))
    }

    pub fn drip(self, bytes: impl Into<Bytes>, pause: Duration) -> Self {
        self.step(Step::Drip(bytes.into(), pause))
    }

    pub fn repeat(self, bytes: impl Into<Bytes>) -> Self {
        self.step(Step::Repeat(bytes.into()))
    }

    pub fn repeat_chunk(self, bytes: &[u8]) -> Self {
        self.repeat(chunk(bytes))
    }

    pub fn gate(self, gate: &Arc<Semaphore>) -> Self {
        self.step(Step::Gate(gate.clone()))
    }

    /// A permit for the test, once all before this was sent.
    pub fn send_signal(self, gate: &Arc<Semaphore>) -> Self {
        self.step(Step::Signal(gate.clone()))
    }

    pub fn stall(self) -> Self {
        self.step(Step::Stall)
    }

    pub fn fin(self) -> Self {
        self.step(Step::Fin)
    }

    pub fn reset(self) -> Self {
        self.step(Step::Reset)
    }

    /// All of `next` after this.
    pub fn then(mut self, next: Self) -> Self {
        self.0.extend(next.0);
        self
    }

    fn step(mut self, step: Step) -> Self {
        self.0.push(step);
        self
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub head: String,
    pub body: Bytes,
    /// Whether the gateway closed the connection before the script was over.
    pub closed: bool,
    /// Whether an [`Upstream::api`] answered it: it was no call of a model.
    pub by_api: bool,
}

impl Received {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the gateway sends JSON")
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Answers some requests by what they ask.
type Api = Box<dyn FnMut(&Received) -> Option<Script> + Send>;

/// Answers some calls of models by what they ask.
type Models = Box<dyn Fn(&Received) -> Option<Script> + Send>;

struct Shared {
    scripts: Mutex<VecDeque<Script>>,
    always: Mutex<Option<Script>>,
    api: Mutex<Option<Api>>,
    models: Mutex<Option<Models>>,
    received: Mutex<Vec<Received>>,
    /// What llama.cpp's `/lora-adapters` reports; 404 without it.
    adapters: Mutex<Option<String>>,
    looks: AtomicUsize,
    changes: watch::Sender<u64>,
}

/// The upstream; it ends with this.
pub struct Upstream {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            scripts: Mutex::default(),
            always: Mutex::default(),
            api: Mutex::default(),
            models: Mutex::default(),
            received: Mutex::default(),
            adapters: Mutex::default(),
            looks: AtomicUsize::new(0),
            changes: watch::Sender::new(0),
        });
        let task = tokio::spawn(accept(listener, shared.clone())).abort_handle();
        Self { address, shared, task }
    }

    /// The next request gets this.
    pub fn next(&self, script: Script) {
        self.shared.scripts.lock().unwrap().push_back(script);
    }

    /// No request gets the scripts that wait.
    pub fn forget_scripts(&self) {
        self.shared.scripts.lock().unwrap().clear();
    }

    /// Every request that no other script waits for gets this.
    pub fn always(&self, script: Script) {
        *self.shared.always.lock().unwrap() = Some(script);
    }

    /// Every request that this answers gets its answer, before all scripts.
    pub fn api(&self, api: impl FnMut(&Received) -> Option<Script> + Send + 'static) {
        *self.shared.api.lock().unwrap() = Some(Box::new(api));
    }

    /// Every call that this answers gets its answer, before all scripts.
    pub fn answers(&self, models: impl Fn(&Received) -> Option<Script> + Send + 'static) {
        *self.shared.models.lock().unwrap() = Some(Box::new(models));
    }

    /// What `GET /lora-adapters` reports from now on. Such requests are no calls, so they stand nowhere in what came.
    pub fn adapters(&self, report: &str) {
        *self.shared.adapters.lock().unwrap() = Some(report.to_owned());
    }

    /// How often the adapters were asked for.
    pub fn looks(&self) -> usize {
        self.shared.looks.load(Ordering::Relaxed)
    }

    /// All that came so far.
    pub fn received(&self) -> Vec<Received> {
        self.shared.received.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.received.lock().unwrap().iter().filter(|one| !one.by_api).count()
    }

    /// The one request that came.
    pub fn only(&self) -> Received {
        let received = self.received();
        assert_eq!(received.len(), 1, "one request reaches the upstream");
        received.into_iter().next().unwrap()
    }

    /// Waits until what came is as `holds` wants it.
    pub async fn until(&self, what: &str, holds: impl Fn(&[Received]) -> bool) {
        let mut changes = self.shared.changes.subscribe();
        let wait = async {
            loop {
                changes.borrow_and_update();
                if holds(&self.shared.received.lock().unwrap()) {
                    return;
                }
                changes.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("the upstream waits for ever: {what}"));
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        connections.spawn(serve(socket, shared.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut socket: TcpStream, shared: Arc<Shared>) {
    drop(socket.set_nodelay(true));
    let mut buffer = BytesMut::new();
    while let Some(mut received) = read_request(&mut socket, &mut buffer).await {
        if received.path == "/lora-adapters" {
            shared.looks.fetch_add(1, Ordering::Relaxed);
            let report = shared.adapters.lock().unwrap().clone();
            let script =
                report.map_or_else(|| Script::error(404, "File Not Found"), |report| Script::json(200, report));
            match play(&mut socket, script).await {
                Played::On => continue,
                Played::Ended | Played::Closed => return,
            }
        }
        let script = shared.api.lock().unwrap().as_mut().and_then(|api| api(&received));
        received.by_api = script.is_some();
        let by_model = || shared.models.lock().unwrap().as_ref().and_then(|models| models(&received));
        let script = script.or_else(by_model);
        // A server is well where nothing else is said, and the question is no call.
        if script.is_none() && ["GET /health ", "GET / "].iter().any(|line| received.head.starts_with(line)) {
            match play(&mut socket, Script::json(200, r#"{"status":"ok"}"#)).await {
                Played::On => continue,
                Played::Ended | Played::Closed => return,
            }
        }
        let script = script.or_else(|| shared.scripts.lock().unwrap().pop_front());
        let script = script.or_else(|| shared.always.lock().unwrap().clone()).unwrap_or_else(|| canned(&received));
        let place = shared.note(received);
        match play(&mut socket, script).await {
            Played::On => {}
            Played::Ended => return,
            Played::Closed => {
                shared.received.lock().unwrap()[place].closed = true;
                return shared.changes.send_modify(|n| *n += 1);
            }
        }
    }
}

impl Shared {
    fn note(&self, received: Received) -> usize {
        let mut all = self.received.lock().unwrap();
        all.push(received);
        self.changes.send_modify(|n| *n += 1);
        all.len() - 1
    }
}

async fn read_request(socket: &mut TcpStream, buffer: &mut BytesMut) -> Option<Received> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if !matches!(socket.read_buf(buffer).await, Ok(1..)) {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer.split_to(end + 4)[..end]).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut received = Received { path, head, body: Bytes::new(), closed: false, by_api: false };
    let length: usize = received.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    while buffer.len() < length {
        if !matches!(socket.read_buf(buffer).await, Ok(1..)) {
            return None;
        }
    }
    received.body = buffer.split_to(length).freeze();
    Some(received)
}

enum Played {
    On,
    Ended,
    Closed,
}

async fn play(socket: &mut TcpStream, script: Script) -> Played {
    for step in script.0 {
        let alive = match step {
            Step::Send(bytes) => socket.write_all(&bytes).await.is_ok(),
            Step::Drip(bytes, pause) => drip(socket, &bytes, pause).await,
            Step::Repeat(bytes) => {
                while socket.write_all(&bytes).await.is_ok() {}
                false
            }
            Step::Gate(gate) => {
                tokio::select! {
                    permit = gate.acquire() => { permit.unwrap().forget(); true }
                    () = closed(socket) => false,
                }
            }
            Step::Signal(gate) => {
                gate.add_permits(1);
                true
            }
            Step::Stall => {
                closed(socket).await;
                false
            }
            Step::Fin => {
                drop(socket.shutdown().await);
                return Played::Ended;
            }
            Step::Reset => {
                socket.set_zero_linger().unwrap();
                return Played::Ended;
            }
        };
        if !alive {
            return Played::Closed;
        }
    }
    Played::On
}

async fn drip(socket: &mut TcpStream, bytes: &[u8], pause: Duration) -> bool {
    for byte in bytes {
        if socket.write_all(std::slice::from_ref(byte)).await.is_err() {
            return false;
        }
        tokio::select! {
            () = sleep(pause) => {}
            () = closed(socket) => return false,
        }
    }
    true
}

/// Waits until the other side closed.
async fn closed(socket: &TcpStream) {
    let mut byte = [0];
    loop {
        if socket.readable().await.is_err() {
            return;
        }
        match socket.try_read(&mut byte) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
        }
    }
}

/// What a request gets that no script is for: a good answer in the form that it asks for.
fn canned(received: &Received) -> Script {
    if received.path.ends_with("/embeddings") {
        let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
        let count = body["input"].as_array().filter(|list| !list[0].is_number()).map_or(1, Vec::len);
        let item = |n: usize| format!("{{\"object\":\"embedding\",\"index\":{n},\"embedding\":[0.1,-0.2]}}");
        let data: Vec<String> = (0..count).map(item).collect();
        let usage = "{\"prompt_tokens\":4,\"total_tokens\":4}";
        let data = data.join(",");
        let body = format!("{{\"object\":\"list\",\"data\":[{data}],\"model\":\"embed-x\",\"usage\":{usage}}}");
        return Script::json(200, body);
    }
    let body: Value = serde_json::from_slice(&received.body).unwrap_or_default();
    if body["stream"] == true { Script::stream(EVENTS) } else { Script::json(200, WHOLE) }
}
