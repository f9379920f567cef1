//! One call of a rehearsal, and what its caller saw.

use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::answers::WORDS;
use super::fault::{Fault, Scope};
use super::stage::Stage;
use crate::routing::Rehearsed;
use crate::wire::DialectId;

/// The longest that a call may take in a rehearsal: far longer than all limits of it together.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most bytes of an answer that are kept.
const LONGEST: usize = 1 << 20;

/// One call: a route, a fault, where it strikes, and in which dialect the caller asks.
#[derive(Clone, Copy)]
pub struct Case<'a> {
    /// The route.
    pub route: &'a Rehearsed,
    /// The fault.
    pub fault: &'static Fault,
    /// Where it strikes.
    pub scope: Scope,
    /// The caller's dialect.
    pub dialect: DialectId,
}

/// What the caller saw, and what the providers and the ledger did.
#[derive(Debug, Default)]
pub struct Seen {
    /// The status; 0 where no answer came.
    pub status: u16,
    /// The error's code; empty for an answer.
    pub code: String,
    /// Who answered.
    pub model: Option<String>,
    /// The answer's body.
    pub body: String,
    /// The answer's headers.
    pub headers: HeaderMap,
    /// How long it took.
    pub took: Duration,
    /// The calls that providers got, as `provider/model`.
    pub made: Vec<String>,
    /// How many of them came after content had gone down.
    pub made_after_content: usize,
    /// Whether content went down.
    pub has_content: bool,
    /// Whether a provider got the caller's own key.
    pub leaked: bool,
    /// The ledger's row.
    pub row: Option<Value>,
}

/// What is said of a dialect in a table.
pub fn name_of(dialect: DialectId) -> &'static str {
    match dialect {
        DialectId::OpenAiChat => "chat",
        DialectId::OpenAiResponses => "responses",
        DialectId::Anthropic => "messages",
        DialectId::Gemini => "gemini",
    }
}

impl Case<'_> {
    /// Makes the call.
    pub async fn make(&self, stage: &Stage) -> Seen {
        stage.script.play((self.fault.act, self.scope), &self.route.judges, &stage.key);
        let began = Instant::now();
        let mut seen = timeout(PATIENCE, self.send(stage)).await.unwrap_or_default();
        seen.took = began.elapsed();
        let id = seen.headers.get("x-fulcrum-request-id").and_then(|id| id.to_str().ok()).map(str::to_owned);
        if let Some(id) = id {
            seen.row = stage.row(&id).await;
        }
        // Only now: an attempt that runs beside the answer counts too.
        (seen.made, seen.leaked) = (stage.script.made(), stage.script.leaked());
        seen
    }

    async fn send(&self, stage: &Stage) -> Seen {
        let Some(request) = self.request(&stage.key) else { return Seen::default() };
        let mut answer = stage.send(request).await;
        let headers = std::mem::take(&mut answer.headers);
        let mut seen = Seen { status: answer.status, headers, ..Seen::default() };
        let model = seen.headers.get("x-fulcrum-model").and_then(|model| model.to_str().ok());
        seen.model = model.map(str::to_owned);
        let mut at_content = None;
        while let Some(data) = answer.piece().await {
            if seen.body.len() < LONGEST {
                seen.body.push_str(&String::from_utf8_lossy(&data));
            }
            if at_content.is_none() && seen.body.contains(WORDS) && seen.status == 200 {
                at_content = Some(stage.script.count());
            }
        }
        seen.has_content = at_content.is_some();
        seen.made_after_content = stage.script.count() - at_content.unwrap_or_else(|| stage.script.count());
        seen.code = code_of(&seen.body, self.dialect, seen.status);
        seen
    }

    fn request(&self, key: &str) -> Option<Request<String>> {
        let (model, stream, words) = (&*self.route.model, self.fault.stream, "Say that this is rehearsed.");
        let turn = json!([{"role": "user", "content": words}]);
        let (path, body) = match self.dialect {
            DialectId::OpenAiChat => (
                "/v1/chat/completions".to_owned(),
                json!({"model": model, "messages": turn, "stream": stream, "max_tokens": 64}),
            ),
            DialectId::OpenAiResponses => {
                ("/v1/responses".to_owned(), json!({"model": model, "input": words, "stream": stream}))
            }
            DialectId::Anthropic => (
                "/v1/messages".to_owned(),
                json!({"model": model, "max_tokens": 64, "messages": turn, "stream": stream}),
            ),
            DialectId::Gemini => {
                let action = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                let contents = json!([{"role": "user", "parts": [{"text": words}]}]);
                (format!("/v1beta/models/{model}:{action}"), json!({"contents": contents}))
            }
        };
        let mut request = Request::post(path)
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {key}"))
            .header("x-fulcrum-cache", "bypass");
        if let Some(limit) = self.fault.limit {
            request = request.header("x-fulcrum-timeout", format!("{limit}ms"));
        }
        request.body(body.to_string()).ok()
    }
}

impl Seen {
    /// The ledger's attempts.
    pub fn attempts(&self) -> &[Value] {
        let attempts = self.row.as_ref().and_then(|row| row["attempts"].as_array());
        attempts.map_or(&[], Vec::as_slice)
    }

    /// What the call cost, as the ledger has it.
    pub fn cost(&self) -> Option<&str> {
        self.row.as_ref().and_then(|row| row["cost_usd"].as_str())
    }

    /// What the answer says of when to ask again.
    pub fn retry_after(&self) -> Option<&str> {
        self.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok())
    }

    /// Whether the caller has a whole answer.
    pub fn is_answered(&self) -> bool {
        self.status == 200 && self.code.is_empty() && self.has_content
    }
}

/// The code of the error that an answer is, or that its stream ends in; empty where there is none.
fn code_of(body: &str, dialect: DialectId, status: u16) -> String {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok();
    let last = body.trim_end().rsplit("data: ").next().unwrap_or_default();
    let Some(found) = (if status == 200 { read(last) } else { read(body) }) else { return String::new() };
    let text = |path: &str| found.pointer(path).and_then(Value::as_str);
    let code = match dialect {
        DialectId::OpenAiChat => text("/error/code").or_else(|| text("/error/type")),
        DialectId::OpenAiResponses if status == 200 => {
            text("/response/error/code").or_else(|| text("/code")).or_else(|| text("/error/code"))
        }
        DialectId::OpenAiResponses => text("/error/code"),
        DialectId::Anthropic => text("/error/type"),
        DialectId::Gemini => text("/error/status"),
    };
    code.unwrap_or_default().to_owned()
}
