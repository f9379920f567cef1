//! The meter of one call: what it used, what it cost, how it ended. It settles once, in `finish` or in its `Drop`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::after::{After, Following};
use super::assign::noted;
use super::incoming::Incoming;
use super::open_attempt::{Ended, OpenAttempt, dropped, is_unused, micros};
use super::prepared::Known;
use super::state::Parts;
use crate::chat::{Code, Error, Usage, Used};
use crate::routing::{Plan, Reserved, RouteSpend};
use crate::telemetry::{AccessLine, AttemptSeen, RequestSeen, Under};
use crate::types::{Nanos, now};
use crate::usage::{AttemptRow, Bodies, CacheState, RequestRow, Role, SegmentRefs, Settlement, Status};
use crate::wire::endpoint::Endpoint;

/// How long an answer waits for its row before it is withheld.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);

/// The meter of one call. Dropped before it settled, it settles the call as one whose caller hung up.
pub struct Meter {
    shared: Arc<Shared>,
    _under: Under,
}

/// What a meter shares with the attempts that are open.
pub(super) struct Shared {
    pub(super) parts: Arc<Parts>,
    endpoint: Endpoint,
    started: Instant,
    state: Mutex<State>,
}

/// What a meter knows so far.
#[derive(Default)]
pub(super) struct State {
    upstream: Duration,
    first_token: Option<Duration>,
    /// `None` once it is settled.
    pub(super) row: Option<Box<RequestRow>>,
    /// The journal's files that hold its lines.
    pub(super) held: SegmentRefs,
    /// Attempts that ended.
    pub(super) attempts: Vec<AttemptRow>,
    /// How many of those the journal has: a call that ends with its first attempt leaves it to the settlement.
    pub(super) recorded: usize,
    /// How many attempts were opened.
    opened: u32,
    /// What the call adds to the spend of its route, where that is hedged.
    hedging: Option<Box<Hedging>>,
    /// Since when any attempt is open.
    pub(super) busy_since: Option<Instant>,
    open: Option<OpenAttempt>,
    /// Open attempts beside that one.
    beside: Vec<OpenAttempt>,
    bodies: Option<Bodies>,
    keeps_answer: bool,
    /// Set when the call has ended well.
    well: Option<Arc<AtomicBool>>,
    /// What follows then.
    following: Following,
}

/// What a call adds to the spend of its route.
struct Hedging {
    spend: Arc<RouteSpend>,
    /// The room that its hedge takes there, until that has ended.
    reserved: Option<Reserved>,
}

impl Hedging {
    /// Notes an attempt that ended.
    fn note(&mut self, row: &AttemptRow) {
        match row.role {
            None => self.spend.note(row.cost, row.usage.map_or(0, |usage| usage.output), now()),
            Some(Role::Hedge) => {
                if let Some(reserved) = self.reserved.take() {
                    reserved.settle(row.cost, now());
                }
            }
            Some(Role::Judge | Role::Embedding) => {}
        }
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
            purpose: incoming.own.map(|own| own.purpose),
            of: incoming.own.map(|own| own.of),
            ..RequestRow::default()
        };
        let under = parts.metrics.request_begins();
        let state = Mutex::new(State { row: Some(Box::new(row)), ..State::default() });
        let (endpoint, started) = (incoming.endpoint, incoming.started);
        Self { shared: Arc::new(Shared { parts, endpoint, started, state }), _under: under }
    }

    /// What stays over a reload.
    pub fn parts(&self) -> &Arc<Parts> {
        &self.shared.parts
    }

    /// What open attempts share with the meter.
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Notes in the row what is known of the request.
    pub fn note(&self, known: &Known, incoming: &Incoming) {
        self.with_row(|row| {
            row.requested_model.clone_from(&known.requested);
            row.stream = known.stream;
            row.user.clone_from(&incoming.user);
            row.prompt = known.prompt.as_ref().map(|version| version.name.shared());
            row.version = known.prompt.as_ref().map(|version| version.version);
            row.assigned = known.assigned.as_ref().map(|assigned| Box::new(noted(assigned)));
        });
    }

    /// Notes in the row whom the rules chose, and why.
    pub fn note_plan(&self, plan: &Plan) {
        self.with_row(|row| {
            row.route.clone_from(&plan.route);
            row.trace = Some(plan.trace());
        });
    }

    /// Notes in the row's trace what became of a part of the plan so far.
    pub fn note_in_trace(&self, name: &str, what: impl Serialize) {
        self.with_row(|row| {
            let trace = row.trace.as_deref().and_then(|trace| serde_json::from_str(trace).ok());
            let mut trace: Map<String, Value> = trace.unwrap_or_default();
            trace.insert(name.to_owned(), serde_json::to_value(what).unwrap_or_default());
            row.trace = Some(Value::Object(trace).to_string().into());
        });
    }

    /// Notes that the call's attempts count into the spend of its route.
    pub fn spends(&self, spend: Arc<RouteSpend>) {
        self.shared.lock().hedging.get_or_insert_with(|| Box::new(Hedging { spend, reserved: None }));
    }

    /// Notes the room that the call's hedge takes in the spend of its route, until it has ended.
    pub fn hedges(&self, reserved: Reserved) {
        if let Some(hedging) = &mut self.shared.lock().hedging {
            hedging.reserved = Some(reserved);
        }
    }

    /// Ends all open attempts but the one of this number, whose answer was there first. They are charged as far as they came.
    pub fn outrun_by(&self, first: u32) {
        let mut state = self.shared.lock();
        for open in state.take_others(first) {
            let ended = Ended::outrun(open.charged());
            self.shared.close(&mut state, open, &ended);
        }
        self.shared.goes_on(&mut state);
    }

    /// Has the journal note what the attempts so far cost, since the call goes on without another attempt just now, and may be
    /// killed meanwhile. Nobody waits for that.
    pub fn goes_on(&self) {
        self.shared.goes_on(&mut self.shared.lock());
    }

    /// Notes in the row whose answer the caller gets, where no attempt of the call's own brings it.
    pub fn note_answer_of(&self, provider: Arc<str>, model: Arc<str>) {
        self.with_row(|row| {
            row.provider = Some(provider);
            row.model = Some(model);
        });
    }

    /// Notes what the cache did.
    pub fn cache(&self, state: CacheState, saved: Option<Nanos>) {
        self.with_row(|row| {
            row.cache = state;
            // What a call without a known price would have cost is unknown.
            row.unpriced = state.is_hit() && saved.is_none();
            row.saved = saved.unwrap_or_default();
        });
    }

    pub(super) fn with_row(&self, change: impl FnOnce(&mut RequestRow)) {
        if let Some(row) = self.shared.lock().row.as_deref_mut() {
            change(row);
        }
    }

    /// Stores the request with the row; the answer as well where `answer` says so.
    pub fn keep_request(&self, request: Bytes, answer: bool) {
        let mut state = self.shared.lock();
        state.bodies = Some(Bodies { request, response: Bytes::new() });
        state.keeps_answer = answer;
    }

    /// Set, from the settlement on, where the call ended well.
    pub fn watched(&self) -> Arc<AtomicBool> {
        self.shared.lock().well.get_or_insert_default().clone()
    }

    /// Has this done once the call is settled, where it ends well.
    pub fn afterwards(&self, after: After) {
        self.shared.lock().following = Following::of(after);
    }

    /// Whether the whole answer is wanted: it is stored with the row, or something follows that needs it.
    pub fn keeps_answer(&self) -> bool {
        let state = self.shared.lock();
        state.keeps_answer || state.following.is_any()
    }

    /// Stores the answer with the row, where that is wanted.
    pub fn keep_answer(&self, answer: &Bytes) {
        let mut state = self.shared.lock();
        let keeps_answer = state.keeps_answer;
        state.following.keep(answer);
        if let Some(bodies) = state.bodies.as_mut().filter(|_| keeps_answer) {
            bodies.response = answer.clone();
        }
    }

    /// Notes that the first byte of an answer goes down.
    pub fn first_byte(&self) {
        self.shared.first_byte(&mut self.shared.lock());
    }

    /// Notes a wait between attempts, or for another's call: it is not Fulcrum's own work.
    pub fn waited(&self, wait: Duration) {
        self.shared.lock().upstream += wait;
    }

    /// How many attempts were made, those beside the caller's answer too.
    pub fn attempts(&self) -> usize {
        let state = self.shared.lock();
        state.attempts.len() + usize::from(state.open.is_some()) + state.beside.len()
    }

    /// What the attempts that ended cost; `None` where a price is unknown.
    pub fn cost(&self) -> Option<Nanos> {
        self.shared.lock().cost()
    }

    /// Settles, and waits until the row is safe.
    ///
    /// # Errors
    /// Where the ledger cannot take it: then the answer may not go out whole.
    pub async fn finish(&self, status: Status, http_status: u16, code: Option<&str>) -> Result<(), Error> {
        let unended = |used| Ended { status: Status::Unknown, http_status: None, error: None, retryable: false, used };
        let Some((settlement, held)) = self.shared.settlement((status, http_status, code), unended) else {
            return Ok(());
        };
        match self.shared.parts.ledger.settle(settlement, held).within(SETTLE_LIMIT).await {
            Some(settled) => settled?,
            None => {
                return Err(Error::new(Code::LedgerUnavailable, "the ledger did not take this request's row in time"));
            }
        }
        if status == Status::Ok {
            let mut state = self.shared.lock();
            if let Some(well) = &state.well {
                well.store(true, Ordering::Release);
            }
            std::mem::take(&mut state.following).go_on();
        }
        Ok(())
    }

    /// Settles without waiting for the row: the answer says that the ledger takes none.
    pub fn finish_apart(&self, error: &Error) {
        let how = (Status::Error, error.status(), Some(error.code.text()));
        if let Some((settlement, held)) = self.shared.settlement(how, Ended::dropped) {
            drop(self.shared.parts.ledger.settle(settlement, held));
        }
    }
}

impl Drop for Meter {
    /// The caller hung up, or the call panicked: what was begun is charged as far as it came.
    fn drop(&mut self) {
        let (status, code) = dropped();
        let how = (status, code.status(), Some(code.text()));
        if let Some((settlement, held)) = self.shared.settlement(how, Ended::dropped) {
            drop(self.shared.parts.ledger.settle(settlement, held));
        }
    }
}

impl Shared {
    /// A panic elsewhere leaves a row half noted at worst, so the lock is used on.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that the first byte of an answer is there.
    pub(super) fn first_byte(&self, state: &mut State) {
        state.first_token.get_or_insert_with(|| self.started.elapsed());
    }

    /// Ends the attempt `n` where that is still open, as `ended` says of what it would be charged by now.
    pub(super) fn end(&self, n: u32, ended: impl FnOnce(Option<Used>) -> Ended) {
        let mut state = self.lock();
        if let Some(open) = state.take(n) {
            let ended = ended(open.charged());
            self.close(&mut state, open, &ended);
            if state.open.is_some() || !state.beside.is_empty() {
                self.goes_on(&mut state);
            }
        }
    }

    /// Has the journal note attempts that ended, and those whose answer is whole, where it does not have them yet.
    fn goes_on(&self, state: &mut State) {
        let Some(request) = state.row.as_ref().map(|row| row.id) else { return };
        let mut ends = state.attempts.get(state.recorded..).unwrap_or_default().to_vec();
        state.recorded = state.attempts.len();
        ends.extend(state.open.iter().chain(&state.beside).filter_map(OpenAttempt::row_if_whole));
        if !ends.is_empty() {
            self.parts.ledger.note_ends(request, &ends, &mut state.held);
        }
    }

    /// Notes how an attempt ended.
    fn close(&self, state: &mut State, open: OpenAttempt, ended: &Ended) {
        let ends = Instant::now();
        // Attempts that are open at once are waited for at once.
        if !state.is_busy()
            && let Some(since) = state.busy_since.take()
        {
            state.upstream += ends.saturating_duration_since(since);
        }
        let row = open.row_ended(ended, ends);
        self.parts.metrics.saw_attempt(&AttemptSeen {
            provider: &row.provider,
            model: &row.model,
            project: state.row.as_deref().map_or("", |request| &request.project),
            outcome: ended.error.unwrap_or("ok"),
            cost_nanos: row.cost.unwrap_or_default().0,
        });
        // An answer that was not of the form asked for was counted by its provider, and is part of what the request used. So is
        // what was made beside the caller's answer.
        let is_part = |attempt: &&AttemptRow| attempt.role.is_some() || is_unused(attempt);
        let before = state.attempts.iter().filter(is_part).filter_map(|attempt| attempt.usage);
        // An answer may be looked at once its own attempt has ended.
        let is_of_answer = |attempt: &&AttemptRow| !is_part(attempt);
        let looks = matches!(row.role, Some(Role::Judge | Role::Embedding));
        let looked_at = state.attempts.iter().rfind(is_of_answer).filter(|_| looks).and_then(|attempt| attempt.usage);
        let usage = before.chain(looked_at).chain(row.usage).reduce(Usage::plus);
        if let Some(hedging) = &mut state.hedging {
            hedging.note(&row);
        }
        if let Some(request) = state.row.as_deref_mut() {
            if !matches!(row.role, Some(Role::Judge | Role::Embedding)) {
                request.provider = Some(row.provider.clone());
                request.model = Some(row.model.clone());
            }
            request.usage = usage;
        }
        // Few calls need a second.
        state.attempts.reserve_exact(1);
        state.attempts.push(row);
    }

    /// The settlement of a call that ends so; attempts that are still open end as `unended` says of what they used.
    fn settlement(
        &self,
        (status, http_status, code): (Status, u16, Option<&str>),
        unended: impl Fn(Option<Used>) -> Ended,
    ) -> Option<(Settlement, SegmentRefs)> {
        let mut state = self.lock();
        state.row.as_ref()?;
        while let Some(open) = state.open.take().or_else(|| state.beside.pop()) {
            let ended = unended(open.charged());
            self.close(&mut state, open, &ended);
        }
        let mut request = state.row.take()?;
        let latency = self.started.elapsed();
        let overhead = latency.saturating_sub(state.upstream);
        request.status = status;
        request.http_status = http_status;
        request.error_code = code.map(Into::into);
        request.latency_us = micros(latency);
        request.first_token_us = state.first_token.map(micros);
        request.overhead_us = Some(micros(overhead));
        request.cost = state.cost();
        request.unpriced |= request.cost.is_none();
        self.see(&request, (latency, state.first_token, overhead));
        self.note_ratio(&request);
        let (attempts, bodies) = (std::mem::take(&mut state.attempts), state.bodies.take());
        state.following.note(&request, &attempts);
        Some((Settlement { request, attempts, bodies }, std::mem::take(&mut state.held)))
    }

    /// Notes how much the key's calls write, where some route reads that.
    fn note_ratio(&self, row: &RequestRow) {
        if row.status == Status::Ok
            && row.purpose.is_none()
            && !row.cache.is_hit()
            && let Some(usage) = row.usage
        {
            self.parts.ratios.note(&row.key_id, usage.input, usage.output);
        }
    }

    fn see(&self, row: &RequestRow, (latency, first_token, overhead): (Duration, Option<Duration>, Duration)) {
        if let Some(purpose) = row.purpose {
            return self.parts.metrics.saw_own_request(purpose.text(), row.status.text());
        }
        self.parts.metrics.saw_request(&RequestSeen {
            endpoint: self.endpoint.name(),
            provider: row.provider.as_deref(),
            model: row.model.as_deref(),
            project: &row.project,
            status: row.status.text(),
            error: row.error_code.as_deref().and_then(Code::of).map_or("", Code::text),
            cache: row.cache.text().unwrap_or("off"),
            latency,
            first_token,
            overhead,
            usage: row.usage.unwrap_or_default(),
        });
        self.parts.access_log.write(|| AccessLine {
            request: row.id,
            key: Some(&row.key_id),
            endpoint: self.endpoint.name(),
            model: &row.requested_model,
            provider: row.provider.as_deref(),
            provider_model: row.model.as_deref(),
            status: row.http_status,
            outcome: row.status.text(),
            error: row.error_code.as_deref(),
            latency,
            cost: row.cost,
            cache: row.cache.text(),
        });
    }
}

impl State {
    /// The number of the next attempt, from 1.
    pub(super) fn number(&mut self) -> u32 {
        self.opened += 1;
        self.opened
    }

    /// Adds an open attempt.
    pub(super) fn add(&mut self, open: OpenAttempt) {
        match self.open {
            None => self.open = Some(open),
            Some(_) => self.beside.push(open),
        }
    }

    /// The open attempt `n`.
    pub(super) fn find(&mut self, n: u32) -> Option<&mut OpenAttempt> {
        self.open.iter_mut().chain(&mut self.beside).find(|open| open.row.n == n)
    }

    /// Takes all open attempts but `n` out.
    fn take_others(&mut self, n: u32) -> Vec<OpenAttempt> {
        let first = self.open.take_if(|open| open.row.n != n);
        first.into_iter().chain(self.beside.extract_if(.., |open| open.row.n != n)).collect()
    }

    /// Takes the open attempt `n` out.
    pub(super) fn take(&mut self, n: u32) -> Option<OpenAttempt> {
        if let Some(open) = self.open.take_if(|open| open.row.n == n) {
            return Some(open);
        }
        let place = self.beside.iter().position(|open| open.row.n == n)?;
        Some(self.beside.swap_remove(place))
    }

    /// Whether an attempt is open that was sent.
    fn is_busy(&self) -> bool {
        self.open.iter().chain(&self.beside).any(|open| open.began.is_some())
    }

    fn cost(&self) -> Option<Nanos> {
        self.attempts.iter().map(|attempt| attempt.cost).sum()
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
