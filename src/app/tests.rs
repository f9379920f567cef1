//! The gateway with models of the tests' own in the process: no socket is waited for.

mod cascade;
mod hedge;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::live::live;
use super::{App, Built};
use crate::cache::Directive;
use crate::config;
use crate::gateway::{Body, Incoming, Reply};
use crate::keys::VirtualKey;
use crate::types::{QuickMap, RequestId, now};
use crate::upstream::{CpuTime, Failure, InProcess, InProcessAnswer, InProcessCall, InProcessModels};
use crate::usage::request;
use crate::wire::endpoint::Endpoint;

/// What a model of the tests does at its call of this number, from 0.
#[derive(Clone, Debug)]
struct Play {
    /// When its answer begins.
    after: Duration,
    text: String,
    confidence: Option<&'static str>,
}

/// What each model does, by its name and the number of the call.
type Script = dyn Fn(&str, usize) -> Play + Send + Sync;

struct Scripted {
    script: Box<Script>,
    calls: std::sync::Mutex<QuickMap<String, Arc<AtomicUsize>>>,
    /// How many answers are waited for just now.
    open: Arc<AtomicUsize>,
}

/// Counts an answer out that is dropped.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl InProcess for Scripted {
    fn answer<'a>(&'a self, call: InProcessCall<'a>) -> BoxFuture<'a, Result<InProcessAnswer, Failure>> {
        Box::pin(async move {
            let counter = self.calls.lock().unwrap().entry(call.model.to_owned()).or_default().clone();
            let play = (self.script)(call.model, counter.fetch_add(1, Ordering::SeqCst));
            self.open.fetch_add(1, Ordering::SeqCst);
            let open = Open(self.open.clone());
            sleep(play.after).await;
            if play.text == "error" {
                let headers = HeaderMap::new();
                let body = stream::iter([Ok(Bytes::from_static(b"{\"error\":{\"message\":\"oops\"}}"))]).boxed();
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                return Ok(InProcessAnswer { status, headers, body, cpu: CpuTime::default() });
            }
            let kind = if call.stream { "text/event-stream" } else { "application/json" };
            let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(kind))]);
            if let Some(confidence) = play.confidence {
                headers.insert("x-fulcrum-confidence", HeaderValue::from_static(confidence));
            }
            let pieces = if call.stream { events(&play.text) } else { vec![whole(&play.text)] };
            let body = stream::iter(pieces).map(move |piece| {
                let _open = &open;
                Ok(Bytes::from(piece))
            });
            Ok(InProcessAnswer { status: StatusCode::OK, headers, body: body.boxed(), cpu: CpuTime::default() })
        })
    }
}

fn usage() -> Value {
    json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15})
}

fn whole(text: &str) -> String {
    let choice = json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"});
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage()})
        .to_string()
}

fn events(text: &str) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
            "choices": choices, "usage": usage});
        format!("data: {chunk}\n\n")
    };
    let delta =
        |delta: Value, end: Value| chunk(json!([{"index": 0, "delta": delta, "finish_reason": end}]), Value::Null);
    vec![
        delta(json!({"role": "assistant", "content": text}), Value::Null),
        delta(json!({}), json!("stop")),
        chunk(json!([]), usage()),
        "data: [DONE]\n\n".to_owned(),
    ]
}

/// Two providers `a` and `b` of one price.
const BASE: &str = r#"
[database]
url = "sqlite://{dir}/fulcrum.db"
[providers.a]
kind = "simulated"
[providers.b]
kind = "simulated"
[models.first]
provider = "a"
model = "first"
price = { input = "1", output = "2" }
[models.second]
provider = "b"
model = "second"
price = { input = "1", output = "2" }
[defaults]
retries = 0
"#;

/// A gateway with models of the test's own.
struct Rig {
    app: App,
    open: Arc<AtomicUsize>,
    _dir: TempDir,
}

impl Rig {
    /// A gateway of this configuration beside [`BASE`].
    async fn new(more: &str, script: impl Fn(&str, usize) -> Play + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let text = format!("{BASE}{more}").replace("{dir}", &dir.path().display().to_string());
        let config = config::parse(&text, "test", &|_| None).unwrap_or_else(|problems| panic!("{problems:?}"));
        let Built { app, .. } = App::build(config).await.unwrap();
        let open = Arc::<AtomicUsize>::default();
        let scripted = Scripted { script: Box::new(script), calls: Default::default(), open: open.clone() };
        let scripted: Arc<dyn InProcess> = Arc::new(scripted);
        let models = InProcessModels::from_iter([("simulated", scripted)]);
        app.0.gateway.replace(live(&app.config(), &models).unwrap_or_else(|(name, bad)| panic!("{name}: {bad}")));
        Self { app, open, _dir: dir }
    }

    fn incoming(model: &str, stream: bool) -> Incoming {
        let messages = json!([{"role": "user", "content": "Which city?"}]);
        let body = json!({"model": model, "stream": stream, "max_tokens": 50, "messages": messages});
        Incoming {
            id: RequestId::new(),
            started: Instant::now(),
            started_at: now(),
            key: Arc::new(VirtualKey::operator(now())),
            endpoint: Endpoint::named("/v1/chat/completions").unwrap(),
            addressed: Default::default(),
            body: body.to_string().into(),
            headers: HeaderMap::new(),
            tags: Vec::new(),
            session: None,
            user: None,
            cache: Directive::default(),
            timeout: None,
            background: false,
            own: None,
            judged: None,
        }
    }

    /// Makes a call; returns its id, how long its first byte took, and its body.
    async fn call(&self, model: &str, stream: bool) -> (RequestId, Duration, String) {
        self.send(Self::incoming(model, stream)).await
    }

    async fn send(&self, incoming: Incoming) -> (RequestId, Duration, String) {
        let (id, began) = (incoming.id, Instant::now());
        let Reply { body, head } = self.app.0.gateway.call(incoming).await;
        assert_eq!(head.status, 200);
        let (first, text) = match body {
            Body::Whole(bytes) | Body::Events(bytes) => (began.elapsed(), bytes.to_vec()),
            Body::Stream(mut stream) => {
                let mut all = stream.next().await.unwrap().unwrap().to_vec();
                let first = began.elapsed();
                while let Some(Ok(piece)) = stream.next().await {
                    all.extend_from_slice(&piece);
                }
                (first, all)
            }
            Body::Bytes(_) => panic!("no bytes were asked for"),
        };
        (id, first, String::from_utf8(text).unwrap())
    }

    /// The row of a request.
    async fn row(&self, id: RequestId) -> Value {
        self.app.0.gateway.parts().ledger.flush().await;
        request(&self.app.0.ledger_db, id).await.unwrap().unwrap().json()
    }
}
