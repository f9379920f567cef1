//! The reserve phase: an attempt's intent is written, with the most it may cost, before it is sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::followed::Followed;
use super::meter::{Meter, Shared};
use super::open_attempt::{Ended, OpenAttempt, micros};
use super::price::Pricing;
use crate::chat::{Error, Tier, Usage, Used};
use crate::routing::{Follows, Target};
use crate::types::{Nanos, now};
use crate::upstream::Failure;
use crate::usage::{AttemptRow, Intent, Role, Status};

/// An attempt that may be sent, or is under way. Several of one call may be open. Dropped before it ended, it is charged as far
/// as it came.
pub struct Attempt {
    meter: Arc<Shared>,
    n: u32,
    followed: Option<Box<Followed>>,
}

impl Meter {
    /// Notes an attempt before it is made, so that it has a row whatever happens, and waits until that is written. It is in this
    /// role; `None` is one at the caller's answer.
    ///
    /// # Errors
    /// Where the ledger cannot take it: then nothing may be sent.
    pub async fn attempt(
        &self,
        role: Option<Role>,
        target: &Target,
        pricing: Pricing,
        estimate: Used,
    ) -> Result<Attempt, Error> {
        // In a tier without a known price it may be the usual one that serves.
        let usual = || pricing.cost(&estimate.in_tier(Tier::Standard));
        let reserved = pricing.cost(&estimate).or_else(usual).unwrap_or_default();
        let (attempt, intended) = {
            let state = &mut *self.shared().lock();
            let n = state.number();
            let row = AttemptRow {
                n,
                provider: target.provider.clone(),
                model: target.model.clone(),
                status: Status::Unknown,
                started_at: now(),
                rate: pricing.text(),
                reserved,
                role,
                ..AttemptRow::default()
            };
            let attempt = Attempt { meter: self.shared().clone(), n, followed: None };
            // A call that is settled makes no attempts.
            let Some(request) = state.row.as_deref() else { return Ok(attempt) };
            let ended = state.attempts.get(state.recorded..).unwrap_or_default();
            state.recorded = state.attempts.len();
            let intent = Intent { request, attempt: &row, ended };
            let intended = self.shared().parts.ledger.intend(&intent, &mut state.held);
            // What it may write is reserved; what it is charged for is what it wrote.
            let usage = estimate.usage.map(|usage| Usage { output: 0, ..usage });
            let estimate = Used { usage, ..estimate };
            let (began, whole, share) = (None, None, None);
            state.add(OpenAttempt { row, began, whole, pricing, estimate, has_begun: false, share });
            (attempt, intended)
        };
        let written = intended.await;
        let mut state = self.shared().lock();
        if let Err(error) = written {
            state.take(attempt.n);
            return Err(error.into());
        }
        let began = Instant::now();
        if let Some(open) = state.find(attempt.n) {
            open.began = Some(began);
            state.busy_since.get_or_insert(began);
        }
        drop(state);
        Ok(attempt)
    }

    /// Whether the caller's answer was tried for more than once: an attempt at vectors of texts is none.
    pub fn has_retried(&self) -> bool {
        let embedded = self.shared().lock().attempts.iter().filter(|row| row.role == Some(Role::Embedding)).count();
        self.attempts() > embedded + 1
    }
}

impl Attempt {
    /// The same attempt, of which its route remembers something, right before it is sent.
    pub fn followed(mut self, follows: Follows, target: &Arc<Target>, is_stream: bool) -> Self {
        if follows.is_any() {
            self.followed = Some(Box::new(Followed::begin(&self.meter.parts, follows, target, is_stream)));
        }
        self
    }

    /// Notes that an answer came, as far as its first token.
    pub fn answered(&self) {
        self.followed.iter().for_each(|followed| followed.answered());
    }

    /// Notes that an answer came which says nothing.
    pub fn said_nothing(&self) {
        self.followed.iter().for_each(|followed| followed.said_nothing());
    }

    /// Notes that no answer came.
    pub fn failed(&self, failure: &Failure) {
        self.followed.iter().for_each(|followed| followed.failed(failure));
    }

    /// Notes that the answer broke off after its first token.
    pub fn broke(&self, failure: &Failure) {
        self.followed.iter().for_each(|followed| followed.broke(failure));
    }

    /// Whether anything is remembered of the attempt.
    pub fn is_followed(&self) -> bool {
        self.followed.is_some()
    }

    /// Which attempt of the call it is, from 1.
    pub fn number(&self) -> u32 {
        self.n
    }

    /// Notes that the first byte of the answer is there.
    pub fn first_byte(&self) {
        let mut state = self.meter.lock();
        self.meter.first_byte(&mut state);
        if let Some(open) = state.find(self.n) {
            let since = open.began.map_or(Duration::ZERO, |began| began.elapsed());
            open.row.first_token_us.get_or_insert_with(|| micros(since));
        }
    }

    /// Notes that the answer is whole, and what it used: what is done with it before the attempt ends is no work of the provider's.
    pub fn is_whole(&self, used: Used) {
        if let Some(open) = self.meter.lock().find(self.n) {
            open.whole = open.began.map(|began| Box::new((began.elapsed(), used)));
        }
    }

    /// Notes that a byte of the answer came, so that the attempt is charged if it breaks off.
    pub fn answer_begins(&self) {
        if let Some(open) = self.meter.lock().find(self.n) {
            open.has_begun = true;
        }
    }

    /// Notes what the attempt would be charged if it broke off now.
    pub fn estimate_output(&self, tokens: u64) {
        if let Some(usage) = self.meter.lock().find(self.n).and_then(|open| open.estimate.usage.as_mut()) {
            usage.output = tokens;
        }
    }

    /// Notes the same by what its provider has counted so far.
    pub fn count(&self, usage: Usage) {
        if let Some(open) = self.meter.lock().find(self.n) {
            let named = usage.service.tier;
            let tier = if named == Tier::Unnamed { open.estimate.tier() } else { named };
            open.estimate.usage = Some(usage.in_tier(tier));
        }
    }

    /// Notes what the attempt costs, where that is its share of a call for several callers.
    pub fn charge(&self, share: Option<Nanos>) {
        if let Some(open) = self.meter.lock().find(self.n) {
            open.share = share;
        }
    }

    /// What the attempt would be charged if it broke off now: nothing where not a byte of its answer came, or it has ended.
    pub fn estimate(&self) -> Option<Used> {
        self.meter.lock().find(self.n).and_then(|open| open.charged())
    }

    /// Notes how the attempt ended. Only the first end counts.
    pub fn end(&self, ended: Ended) {
        self.followed.iter().for_each(|followed| followed.ended(&self.meter.parts, ended.status));
        self.meter.end(self.n, |_| ended);
    }
}

impl Drop for Attempt {
    /// Nobody waits for the attempt any more, or its task panicked.
    fn drop(&mut self) {
        self.meter.end(self.n, Ended::dropped);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use serde_json::json;
    use tokio_util::sync::CancellationToken;
    use tokio_util::task::TaskTracker;

    use super::*;
    use crate::cache::{Cache, Directive};
    use crate::db::Db;
    use crate::experiments::Experiments;
    use crate::gateway::incoming::Incoming;
    use crate::gateway::meaning::Meaning;
    use crate::gateway::merges::Merges;
    use crate::gateway::shadows::Shadows;
    use crate::gateway::state::Parts;
    use crate::gateway::target_log::TargetLog;
    use crate::idempotency::{Bounds, Idempotency};
    use crate::keys::VirtualKey;
    use crate::prompts::Registry;
    use crate::routing::{Health, Hedges, Ratios, Sessions, Signals};
    use crate::telemetry::AccessLog;
    use crate::types::RequestId;
    use crate::usage::{Ledger, Options, request};
    use crate::wire::dialect::Addressed;
    use crate::wire::endpoint::Endpoint;

    async fn parts(db: &Db) -> Arc<Parts> {
        let bounds = Bounds { ttl: Duration::from_secs(1), max_size: 1 << 20 };
        Arc::new(Parts {
            started: now(),
            prompts: Registry::open(db.clone()).await.unwrap(),
            experiments: Experiments::open(db.clone()).await.unwrap(),
            cache: Cache::new(1 << 20),
            meaning: Meaning::default(),
            ledger: Ledger::open(db.sqlite().unwrap(), Options { durable: true, ..Options::default() }).await.unwrap(),
            idempotency: Idempotency::open(db.clone(), bounds),
            bodies: Arc::default(),
            answers: Arc::default(),
            slow_bodies: Arc::default(),
            pool: Arc::new(crate::pool::Pool::start().unwrap()),
            health: Health::default(),
            signals: Signals::default(),
            sessions: Sessions::default(),
            ratios: Ratios::default(),
            probe_line: Arc::default(),
            hedges: Hedges::default(),
            target_log: TargetLog::default(),
            access_log: AccessLog::default(),
            metrics: Arc::default(),
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            side_calls: Arc::default(),
            merges: Merges::default(),
            shadows: Shadows::of(db.clone()),
        })
    }

    fn incoming() -> Incoming {
        Incoming {
            id: RequestId::new(),
            started: Instant::now(),
            started_at: now(),
            key: Arc::new(VirtualKey::operator(now())),
            endpoint: Endpoint::Chat,
            addressed: Addressed::default(),
            body: Bytes::new(),
            headers: HeaderMap::new(),
            tags: Vec::new(),
            session: None,
            user: None,
            cache: Directive::default(),
            timeout: None,
            background: false,
            judged: None,
            own: None,
        }
    }

    async fn attempt(meter: &Meter, model: &str) -> Attempt {
        let target = Target::of("p", model);
        let pricing = Pricing::Share { each: Nanos(7_000_000), text: "{}".into() };
        let estimate = Usage { input: 3, output: 5, estimated: true, ..Usage::default() };
        meter.attempt(None, &target, pricing, estimate.into()).await.unwrap()
    }

    #[tokio::test]
    async fn each_open_attempt_is_charged_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&format!("sqlite://{}/f.db", folder.path().display()), false).await.unwrap();
        let (parts, incoming) = (parts(&db).await, incoming());
        let meter = Meter::begin(parts, &incoming);
        let (dropped, failed) = (attempt(&meter, "dropped").await, attempt(&meter, "failed").await);
        let (answered, left_open) = (attempt(&meter, "answered").await, attempt(&meter, "left-open").await);
        assert_eq!((meter.attempts(), meter.cost()), (4, Some(Nanos(0))));

        dropped.answer_begins();
        dropped.estimate_output(2);
        left_open.answer_begins();
        left_open.estimate_output(5);
        drop(dropped);
        assert_eq!((meter.attempts(), meter.cost()), (4, Some(Nanos(7_000_000))));
        failed.end(Ended { used: None, ..Ended::invalid(Used::default()) });
        answered.end(Ended::well(Usage { input: 3, output: 9, ..Usage::default() }));
        // Only the first end counts.
        answered.end(Ended::invalid(Used::default()));
        assert_eq!(meter.cost(), Some(Nanos(14_000_000)));
        meter.finish(Status::Ok, 200, None).await.unwrap();
        drop((failed, answered, left_open));

        let recorded = request(&db, incoming.id).await.unwrap().unwrap().json();
        let rows: Vec<_> = recorded["attempts"].as_array().unwrap().iter().collect();
        let of = |field: &str| rows.iter().map(|row| row[field].clone()).collect::<Vec<_>>();
        assert_eq!(of("model"), ["dropped", "failed", "answered", "left-open"]);
        assert_eq!(of("status"), ["client_closed", "error", "ok", "unknown"]);
        assert_eq!(of("output_tokens"), [json!(2), json!(null), json!(9), json!(5)]);
        assert_eq!(of("cost_usd"), ["0.007", "0", "0.007", "0.007"].map(|cost| json!(cost)));
        assert_eq!(recorded["status"], "ok");
    }
}
