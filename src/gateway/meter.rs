//! The meter of one call: what it used, what it cost, how it ended. It settles once, in `finish` or in its `Drop`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::incoming::{Endpoint, Incoming};
use super::prepared::Known;
use super::price::Pricing;
use super::state::Parts;
use crate::chat::{Code, Error, Usage, Used};
use crate::routing::{Plan, Target};
use crate::telemetry::{AttemptSeen, RequestSeen, Under};
use crate::types::{Nanos, now};
use crate::usage::{AttemptRow, Bodies, CacheState, Intent, RequestRow, SegmentRefs, Settlement, Status};

/// How long an answer waits for its row before it is withheld.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// The meter of one call.
pub struct Meter {
    parts: Arc<Parts>,
    endpoint: Endpoint,
    started: Instant,
    upstream: Duration,
    first_token: Option<Duration>,
    row: Option<Box<RequestRow>>,
    /// The journal's files that hold its lines.
    held: SegmentRefs,
    attempts: Vec<AttemptRow>,
    open: Option<OpenAttempt>,
    bodies: Option<Bodies>,
    keeps_answer: bool,
    /// Set when the call has ended well.
    well: Option<Arc<AtomicBool>>,
    _under: Under,
}

/// An attempt under way.
struct OpenAttempt {
    row: AttemptRow,
    /// When it was sent; `None` while its intent is being written.
    began: Option<Instant>,
    pricing: Pricing,
    estimate: Used,
}

/// How an attempt ended.
pub struct Ended {
    /// Its status.
    pub status: Status,
    /// The provider's HTTP status, if an answer came.
    pub http_status: Option<u16>,
    /// The error's code.
    pub error: Option<Code>,
    /// Whether another try could do better.
    pub retryable: bool,
    /// What it used; `None` where it cost nothing.
    pub used: Option<Used>,
}

impl Ended {
    /// An answer that came whole and well.
    pub fn well(used: impl Into<Used>) -> Self {
        Self { status: Status::Ok, http_status: Some(200), error: None, retryable: false, used: Some(used.into()) }
    }

    /// An answer that came whole, but is not of the form that was asked for.
    pub fn invalid(used: Used) -> Self {
        let error = Some(Code::InvalidOutput);
        Self { status: Status::Error, error, retryable: true, ..Self::well(used) }
    }
}

impl Meter {
    /// Begins to meter a call.
    pub fn begin(parts: Arc<Parts>, incoming: &Incoming) -> Self {
        let row = RequestRow {
            id: incoming.id,
            started_at: incoming.started_at,
            project: incoming.key.project.clone(),
            key_id: incoming.key.id.clone(),
            user: incoming.user.clone(),
            session: incoming.session.clone(),
            tags: tags(incoming),
            endpoint: incoming.endpoint.shared_name(),
            ..RequestRow::default()
        };
        let under = parts.metrics.request_begins();
        Self {
            parts,
            endpoint: incoming.endpoint,
            started: incoming.started,
            upstream: Duration::ZERO,
            first_token: None,
            row: Some(Box::new(row)),
            held: SegmentRefs::default(),
            attempts: Vec::new(),
            open: None,
            bodies: None,
            keeps_answer: false,
            well: None,
            _under: under,
        }
    }

    /// The row, until it is settled.
    pub fn row(&mut self) -> Option<&mut RequestRow> {
        self.row.as_deref_mut()
    }

    /// Notes in the row what is known of the request.
    pub fn note(&mut self, known: &Known, incoming: &Incoming) {
        let Some(row) = self.row.as_deref_mut() else { return };
        row.requested_model.clone_from(&known.requested);
        row.stream = known.stream;
        row.user.clone_from(&incoming.user);
        row.prompt = known.prompt.as_ref().map(|version| version.name.shared());
        row.version = known.prompt.as_ref().map(|version| version.version);
    }

    /// Notes in the row whom the rules chose, and why.
    pub fn note_plan(&mut self, plan: &Plan) {
        let Some(row) = self.row.as_deref_mut() else { return };
        row.route.clone_from(&plan.route);
        row.trace = Some(plan.trace());
    }

    /// Keeps what was asked with the row; the answer as well where `answer` says so.
    pub fn keep_request(&mut self, request: Bytes, answer: bool) {
        self.bodies = Some(Bodies { request, response: Bytes::new() });
        self.keeps_answer = answer;
    }

    /// What tells, from the settlement on, whether the call ended well.
    pub fn watched(&mut self) -> Arc<AtomicBool> {
        self.well.get_or_insert_default().clone()
    }

    /// Whether the answer is kept with the row.
    pub fn keeps_answer(&self) -> bool {
        self.keeps_answer
    }

    /// Keeps the answer with the row, where it is to be kept.
    pub fn keep_answer(&mut self, answer: &Bytes) {
        if let Some(bodies) = self.bodies.as_mut().filter(|_| self.keeps_answer) {
            bodies.response = answer.clone();
        }
    }

    /// Notes an attempt before it is made, so that it has a row whatever happens, and waits until that is written.
    ///
    /// # Errors
    /// Where the ledger cannot take it: then nothing may be sent.
    pub async fn attempt_begins(&mut self, target: &Target, pricing: Pricing, estimate: Used) -> Result<(), Error> {
        let reserved = pricing.cost(&estimate).unwrap_or_default();
        let n = u32::try_from(self.attempts.len() + 1).unwrap_or(u32::MAX);
        let row = AttemptRow {
            n,
            provider: target.provider.clone(),
            model: target.model.clone(),
            status: Status::Unknown,
            http_status: None,
            error_code: None,
            retryable: false,
            started_at: now(),
            latency_us: 0,
            first_token_us: None,
            usage: None,
            cost: None,
            rate: pricing.text(),
            reserved,
        };
        let Some(request) = self.row.as_deref() else { return Ok(()) };
        let intended = self.parts.ledger.intend(&Intent { request, attempt: &row }, &mut self.held);
        self.open = Some(OpenAttempt { row, began: None, pricing, estimate });
        if let Err(error) = intended.await {
            self.open = None;
            return Err(error.into());
        }
        if let Some(open) = &mut self.open {
            open.began = Some(Instant::now());
        }
        Ok(())
    }

    /// Notes that the first byte of an answer is there.
    pub fn first_byte(&mut self) {
        self.first_token.get_or_insert_with(|| self.started.elapsed());
        if let Some(open) = &mut self.open {
            let since = open.began.map_or(Duration::ZERO, |began| began.elapsed());
            open.row.first_token_us.get_or_insert_with(|| micros(since));
        }
    }

    /// Notes what the attempt under way would be charged if it broke off now.
    pub fn estimate_output(&mut self, tokens: u64) {
        if let Some(usage) = self.open.as_mut().and_then(|open| open.estimate.usage.as_mut()) {
            usage.output = tokens;
        }
    }

    /// What the attempt under way would be charged if it broke off now: nothing where it was not sent yet.
    pub fn estimate(&self) -> Option<Used> {
        self.open.as_ref().filter(|open| open.began.is_some()).map(|open| open.estimate)
    }

    /// Notes how the attempt under way ended.
    pub fn attempt_ends(&mut self, ended: &Ended) {
        let Some(OpenAttempt { mut row, began, pricing, .. }) = self.open.take() else { return };
        let took = began.map_or(Duration::ZERO, |began| began.elapsed());
        self.upstream += took;
        row.latency_us = micros(took);
        row.status = ended.status;
        row.http_status = ended.http_status;
        row.error_code = ended.error.map(|code| code.text().into());
        row.retryable = ended.retryable;
        row.usage = ended.used.and_then(|used| used.usage);
        match &ended.used {
            Some(used) => (row.cost, row.rate) = pricing.charge(used),
            None => row.cost = Some(Nanos(0)),
        }
        self.parts.metrics.saw_attempt(AttemptSeen {
            provider: row.provider.clone(),
            model: row.model.clone(),
            outcome: ended.error.map_or("ok", Code::text),
        });
        // An answer that was not of the form asked for was counted by its provider, and is part of what the request used.
        let invalid = |attempt: &&AttemptRow| attempt.error_code.as_deref() == Some(Code::InvalidOutput.text());
        let before = self.attempts.iter().filter(invalid).filter_map(|attempt| attempt.usage);
        let usage = before.chain(row.usage).reduce(Usage::plus);
        if let Some(request) = self.row.as_deref_mut() {
            request.provider = Some(row.provider.clone());
            request.model = Some(row.model.clone());
            request.usage = usage;
        }
        // Few calls need a second.
        self.attempts.reserve_exact(1);
        self.attempts.push(row);
    }

    /// Notes a wait between attempts, or for another's call: it is not Fulcrum's own work.
    pub fn waited(&mut self, wait: Duration) {
        self.upstream += wait;
    }

    /// How many attempts were made.
    pub fn attempts(&self) -> usize {
        self.attempts.len() + usize::from(self.open.is_some())
    }

    /// What the attempts cost so far; `None` where a price is unknown.
    pub fn cost(&self) -> Option<Nanos> {
        self.attempts.iter().map(|attempt| attempt.cost).sum()
    }

    /// Settles, and waits until the row is safe.
    ///
    /// # Errors
    /// Where the ledger cannot take it: then the answer may not go out whole.
    pub async fn finish(&mut self, status: Status, http_status: u16, code: Option<&str>) -> Result<(), Error> {
        let Some(settlement) = self.settlement(status, http_status, code) else { return Ok(()) };
        let settled = self.parts.ledger.settle(settlement, std::mem::take(&mut self.held));
        match settled.within(SETTLE_LIMIT).await {
            Some(settled) => settled?,
            None => {
                return Err(Error::new(Code::LedgerUnavailable, "the ledger did not take this request's row in time"));
            }
        }
        if let Some(well) = self.well.as_ref().filter(|_| status == Status::Ok) {
            well.store(true, Ordering::Release);
        }
        Ok(())
    }

    fn settlement(&mut self, status: Status, http_status: u16, code: Option<&str>) -> Option<Settlement> {
        let mut request = self.row.take()?;
        let latency = self.started.elapsed();
        let overhead = latency.saturating_sub(self.upstream);
        request.status = status;
        request.http_status = http_status;
        request.error_code = code.map(Into::into);
        request.latency_us = micros(latency);
        request.first_token_us = self.first_token.map(micros);
        request.overhead_us = Some(micros(overhead));
        request.cost = self.cost();
        request.unpriced = request.cost.is_none();
        self.see(&request, latency, overhead);
        Some(Settlement { request, attempts: std::mem::take(&mut self.attempts), bodies: self.bodies.take() })
    }

    fn see(&self, row: &RequestRow, latency: Duration, overhead: Duration) {
        self.parts.metrics.saw_request(RequestSeen {
            endpoint: self.endpoint.name(),
            provider: row.provider.clone(),
            model: row.model.clone(),
            status: row.status.text(),
            error: row.error_code.as_deref().and_then(Code::of).map_or("", Code::text),
            cache: row.cache.text().unwrap_or("off"),
            latency,
            first_token: self.first_token,
            overhead,
            usage: row.usage.unwrap_or_default(),
            cost_nanos: row.cost.unwrap_or_default().0,
        });
    }

    /// Notes what the cache did.
    pub fn cache(&mut self, state: CacheState, saved: Option<Nanos>) {
        if let Some(row) = self.row() {
            row.cache = state;
            row.saved = saved.unwrap_or_default();
        }
    }
}

impl Drop for Meter {
    /// The caller hung up, or the call panicked: what was begun is charged as far as it came.
    fn drop(&mut self) {
        if self.row.is_none() {
            return;
        }
        let used = self.estimate();
        let (status, code) = match std::thread::panicking() {
            true => (Status::Error, Code::Internal),
            false => (Status::ClientClosed, Code::ClientClosed),
        };
        self.attempt_ends(&Ended { status, http_status: None, error: Some(code), retryable: false, used });
        if let Some(settlement) = self.settlement(status, code.status(), Some(code.text())) {
            drop(self.parts.ledger.settle(settlement, std::mem::take(&mut self.held)));
        }
    }
}

/// The request's tags, and those of its key that it does not set itself.
fn tags(incoming: &Incoming) -> Vec<(Arc<str>, Arc<str>)> {
    let mut tags = incoming.tags.clone();
    for (name, value) in &incoming.key.tags {
        if !tags.iter().any(|(known, _)| **known == **name) {
            tags.push((name.as_str().into(), value.as_str().into()));
        }
    }
    tags
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
