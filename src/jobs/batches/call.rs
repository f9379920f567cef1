//! One line of a batch: its call, the waits for a provider that wants quiet, and its result.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::HeaderMap;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::shared::Shared;
use crate::batches::{Batch, Stored, Verdict, result};
use crate::cache::Directive;
use crate::chat::{Code, Error, Usage};
use crate::gateway::{Body, Incoming, Reply};
use crate::keys::VirtualKey;
use crate::types::{RequestId, now};
use crate::wire::dialect::Addressed;
use crate::wire::endpoint::Endpoint;
use crate::wire::json::Object;

/// The first and the longest pause of a line whose provider cannot take calls now.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The result of a line, before it is stored.
pub(super) struct LineResult {
    pub(super) verdict: Verdict,
    pub(super) usage: Usage,
}

/// Calls until there is a result; `None` where the batch ends before.
pub(super) async fn call(shared: &Shared, batch: &Batch, body: Bytes, halt: &CancellationToken) -> Option<LineResult> {
    let Some(endpoint) = Endpoint::at(&batch.endpoint) else {
        return LineResult::failed("invalid_request", format!("{} cannot be called in a batch", batch.endpoint));
    };
    if wants_stream(&body) {
        return Some(LineResult::refused(
            endpoint,
            &Error::field("stream", "a line of a batch cannot be answered as a stream"),
        ));
    }
    let began = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        if halt.is_cancelled() {
            return None;
        }
        // The batch ends with its key; until that is noticed no line calls without one.
        let Ok(key) = shared.work.keys.holder(&batch.key_id, now()) else { return None };
        let incoming = ask(batch, key, endpoint, body.clone());
        let id = incoming.id;
        let reply = guarded(shared, incoming).await;
        // What was cut off by the end of the process is run again at the next start.
        if shared.work.gateway.parts().closing.is_cancelled() && reply.head.code == Some(Code::Overloaded) {
            return None;
        }
        let settings = shared.batches().settings();
        if !may_wait(&reply) || began.elapsed() >= settings.patience {
            return Some(LineResult::answered(endpoint, id, reply));
        }
        let wait = reply.head.retry_after.unwrap_or_default().clamp(pause, LONGEST_PAUSE);
        pause = (pause * 2).min(LONGEST_PAUSE);
        tokio::select! {
            () = sleep(wait) => {}
            () = halt.cancelled() => return None,
        }
    }
}

/// What a line asks.
pub(super) fn ask(batch: &Batch, key: Arc<VirtualKey>, endpoint: Endpoint, body: Bytes) -> Incoming {
    Incoming {
        id: RequestId::new(),
        started: Instant::now(),
        started_at: now(),
        key,
        endpoint,
        addressed: Addressed::default(),
        body,
        headers: HeaderMap::new(),
        tags: vec![("batch".into(), batch.id.clone())],
        session: None,
        user: None,
        cache: Directive::default(),
        timeout: None,
        background: true,
        judged: None,
        own: None,
    }
}

/// Makes the call; one that panics fails its own line only.
async fn guarded(shared: &Shared, incoming: Incoming) -> Reply {
    let (id, endpoint) = (incoming.id, incoming.endpoint);
    shared.calls.fetch_add(1, Ordering::Relaxed);
    let made = AssertUnwindSafe(shared.work.gateway.call(incoming)).catch_unwind().await;
    shared.calls.fetch_sub(1, Ordering::Relaxed);
    made.unwrap_or_else(|_panic| {
        tracing::error!(%id, "a batch's line panicked; the panic's own lines say where");
        let error = Error::new(Code::Internal, "the gateway failed on this request; its log says why");
        crate::gateway::refusal(id, endpoint, &error)
    })
}

/// Whether the same call may do better later, and costs nothing until then.
fn may_wait(reply: &Reply) -> bool {
    let Some(code) = reply.head.code else { return false };
    matches!(
        code,
        Code::UpstreamRateLimited
            | Code::AllTargetsCooling
            | Code::Overloaded
            | Code::LedgerUnavailable
            | Code::UpstreamConnect
    )
}

/// Whether a line asks for a stream, which no batch can give.
pub(super) fn wants_stream(body: &Bytes) -> bool {
    Object::read(body.clone()).is_ok_and(|fields| fields.get("stream").is_some_and(|value| value == "true"))
}

impl LineResult {
    pub(super) fn failed(code: &'static str, message: String) -> Option<Self> {
        Some(Self { verdict: Verdict::NotRun { code, message }, usage: Usage::default() })
    }

    fn refused(endpoint: Endpoint, error: &Error) -> Self {
        let id = RequestId::new();
        Self::answered(endpoint, id, crate::gateway::refusal(id, endpoint, error))
    }

    fn answered(endpoint: Endpoint, id: RequestId, reply: Reply) -> Self {
        let Body::Whole(body) = reply.body else {
            let message = "the answer came as a stream, which was not asked for".to_owned();
            return Self { verdict: Verdict::NotRun { code: "internal_error", message }, usage: Usage::default() };
        };
        let usage = if reply.head.code.is_some() { None } else { usage(endpoint, &body) };
        let verdict = Verdict::Answered { status: reply.head.status, request_id: id.to_string(), body };
        Self { verdict, usage: usage.unwrap_or_default() }
    }

    /// Stores the result. Where the database fails for long, the line is run again at the next start.
    pub(super) async fn store(self, shared: &Shared, batch: &str, n: u64, custom_id: &str) {
        let good = self.verdict.is_good();
        let content = result(batch, n, custom_id, &self.verdict);
        let stored = Stored { n, good, content, usage: self.usage };
        for pause in [0, 1, 5, 20] {
            sleep(Duration::from_secs(pause)).await;
            match shared.batches().store_result(batch, &stored).await {
                Ok(()) => return shared.work.gateway.parts().metrics.saw_batch_line(good),
                Err(error) => tracing::warn!(%error, batch, "a line's result cannot be stored yet: {error}"),
            }
        }
        tracing::error!(batch, line = n, "a line's result could not be stored; it will be run again");
    }
}

fn usage(endpoint: Endpoint, body: &Bytes) -> Option<Usage> {
    endpoint.usage(body).ok()?
}
