//! Calls that may share answers: from the cache, from a running call of the same key, or as the one that others follow.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use super::attempt::{Answered, Served};
use super::call::{Planned, refuse};
use super::feed::{events_of, message_of};
use super::meter::{Ended, Meter};
use super::plan::Keyed;
use super::repair::Wanted;
use super::reply::{Departure, error_reply};
use super::stream::{Begun, Relay};
use super::{Body, Head, Reply, memo};
use crate::cache::{Aborted, CacheKey, Entry, Follower, Join, Keyer, Lead, Outcome, Replay, Scope, Spent};
use crate::chat::{Code, Error};
use crate::routing::{CacheMode, CacheScope, Target};
use crate::types::{Nanos, now};
use crate::upstream::{Failure, Phase};
use crate::usage::{CacheState, Status};
use crate::wire::DialectId;
use crate::wire::dialect::{AnswerContext, Chunk, Tap};
use crate::wire::sse::{Decoder, Event};

/// Fields that do not change an answer, so that they are no part of its key.
const NOT_KEYED: [&str; 9] = [
    "model",
    "stream",
    "stream_options",
    "user",
    "metadata",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];

/// How often a lead looks whether anybody still follows.
const LOOK: Duration = Duration::from_millis(200);

/// Serves a planned call, from the cache where its route has one.
pub(super) async fn serve(mut planned: Box<Planned>, mut meter: Box<Meter>) -> Reply {
    let directive = planned.incoming.cache;
    if !planned.request.may_be_cached() && !directive.only {
        return planned.direct(meter).await;
    }
    if planned.plan.cache.mode == CacheMode::Off && !directive.only {
        return planned.direct(meter).await;
    }
    if directive.is_bypass() {
        planned.head.cache = Some("bypass");
        meter.cache(CacheState::Bypass, None);
        return planned.direct(meter).await;
    }
    let Some(target) = planned.plan.targets.first().cloned() else { return planned.direct(meter).await };
    let key = planned.key(&target);
    let cache = &planned.parts.cache;
    if directive.read
        && planned.request.may_be_cached()
        && let Some(entry) = cache.get(&key, now(), directive.max_age)
    {
        return planned.hit(key, &entry, meter).await;
    }
    if directive.only {
        let error =
            Error::new(Code::NotFound, "nothing is cached for this request, and x-fulcrum-cache: only was asked");
        return refuse(planned.head, meter, error).await;
    }
    planned.head.cache = Some("miss");
    meter.cache(CacheState::Miss, None);
    if !directive.store {
        return planned.direct(meter).await;
    }
    let max_age = if directive.read { directive.max_age } else { Some(Duration::ZERO) };
    match cache.join(key, now(), max_age) {
        Join::Hit(entry) => planned.hit(key, &entry, meter).await,
        Join::Follow(follower) => Box::pin(coalesce(planned, meter, follower)).await,
        Join::Lead(lead) => Box::pin(depart(planned, meter, key, lead)).await,
    }
}

/// Starts the one call that goes out, in a task of its own, and follows it.
async fn depart(planned: Box<Planned>, meter: Box<Meter>, key: CacheKey, lead: Lead<Departure>) -> Reply {
    let parts = planned.parts.clone();
    let Join::Follow(follower) = parts.cache.join(key, now(), Some(Duration::ZERO)) else {
        return planned.direct(meter).await;
    };
    let passenger = Passenger::of(&planned, None);
    parts.tasks.spawn(fly(planned, meter, key, lead));
    match passenger.ride(follower).await {
        Ok(reply) => reply,
        Err((passenger, aborted)) => error_reply(passenger.head, &error_of(&aborted)),
    }
}

/// Follows a running call; makes one of its own where that one's end says nothing about this request.
async fn coalesce(mut planned: Box<Planned>, mut meter: Box<Meter>, follower: Follower<Departure>) -> Reply {
    planned.head.cache = Some("coalesced");
    meter.cache(CacheState::Coalesced, None);
    let passenger = Passenger::of(&planned, Some(meter));
    match passenger.ride(follower).await {
        Ok(reply) => reply,
        Err((Passenger { head, meter: Some(mut meter), .. }, aborted)) => match aborted {
            Aborted::Failed(error) if error.code != Code::RequestTimeout => refuse(head, meter, (*error).clone()).await,
            _ if planned.deadline().is_some_and(|limit| limit <= Instant::now()) => {
                refuse(head, meter, Failure::TimedOut(Phase::Caller).into_error("")).await
            }
            _ => {
                planned.head.cache = Some("miss");
                meter.cache(CacheState::Miss, None);
                planned.direct(meter).await
            }
        },
        Err((passenger, aborted)) => error_reply(passenger.head, &error_of(&aborted)),
    }
}

fn error_of(aborted: &Aborted) -> Error {
    match aborted {
        Aborted::Failed(error) => (**error).clone(),
        Aborted::Lost => Error::new(Code::Internal, "the call that this request shared was lost"),
        Aborted::Behind => Error::new(Code::Overloaded, "this request fell too far behind the answer that it shared"),
    }
}

/// The call that goes out: ends early where nobody follows any more.
async fn fly(planned: Box<Planned>, mut meter: Box<Meter>, key: CacheKey, mut lead: Lead<Departure>) {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let served = {
        let attempts = planned.attempts();
        let mut run = std::pin::pin!(attempts.run(&mut meter));
        loop {
            tokio::select! {
                biased;
                served = &mut run => break served,
                _ = look.tick() => if lead.followers() == 0 { return },
            }
        }
    };
    let served = match served {
        Ok(served) => served,
        Err(error) => {
            let settled = meter.finish(Status::Error, error.status(), Some(error.code.text())).await;
            lead.finish(Outcome::Failed(settled.err().unwrap_or(error)));
            return;
        }
    };
    let Served { target, answer, emulated, repair } = served;
    match answer {
        Answered::Whole { body, used, ended_well, .. } => {
            meter.attempt_ends(&Ended::well(used));
            meter.keep_answer(&body);
            let departure = Departure {
                target: target.clone(),
                attempts: meter.attempts(),
                cost: meter.cost(),
                is_stream: false,
                emulated,
                repair,
            };
            let spent = Spent { usage: used.usage, cost: departure.cost };
            if let Err(error) = meter.finish(Status::Ok, 200, None).await {
                lead.finish(Outcome::Failed(error));
                return;
            }
            if ended_well {
                planned.store(key, &target, body.clone(), spent);
            }
            lead.head(departure);
            lead.push(body);
            lead.finish(Outcome::Complete(spent));
        }
        // Such answers are shared with nobody.
        Answered::Bytes { .. } => drop(lead),
        Answered::Stream { dialect, answer_tool, answer, decoder, first } => {
            let attempts = meter.attempts();
            lead.head(Departure { target: target.clone(), attempts, cost: None, is_stream: true, emulated, repair });
            let told = planned.request.told(&planned.incoming);
            let begun = Begun {
                target: target.clone(),
                answer,
                decoder,
                first,
                feed: planned.feed(&target, (dialect, answer_tool), true, &told),
                into: planned.head.dialect,
                keep_events: true,
                passing: None,
                told: told.clone(),
            };
            let mut relay = Relay::new(planned.parts.clone(), begun, meter);
            loop {
                // Polled to its end: dropped while it settles, it would lose the stream's last event.
                let bytes = {
                    let mut next = std::pin::pin!(relay.next());
                    loop {
                        tokio::select! {
                            biased;
                            bytes = &mut next => break bytes,
                            _ = look.tick() => if lead.followers() == 0 { return },
                        }
                    }
                };
                match bytes {
                    Some(bytes) => lead.push(bytes),
                    None => break,
                }
            }
            let spent = relay.spent();
            let whole = relay.kept().and_then(|events| planned.request.codec().as_whole(&events, &told).ok());
            if let Some(body) = whole.filter(|body| !planned.is_flawed(body)) {
                planned.store(key, &target, body, spent);
            }
            lead.finish(Outcome::Complete(spent));
        }
    }
}

impl Planned {
    /// The key of this call's answer by `target`.
    pub(super) fn key(&self, target: &Target) -> CacheKey {
        // Beside the fields, headers count in some dialects.
        let mut headers = self.request.codec().headers().iter();
        if headers.any(|name| self.incoming.headers.contains_key(*name)) {
            return self.made_key(target);
        }
        let scope = self.plan.cache.scope;
        let owner = match scope {
            CacheScope::Project => &self.incoming.key.project,
            CacheScope::Key => &self.incoming.key.id,
        };
        let keyed = self.request.keyed.get_or_init(|| Keyed {
            scope,
            owner: owner.clone(),
            provider: target.provider.clone(),
            model: target.model.clone(),
            key: self.made_key(target),
        });
        let same = keyed.scope == scope
            && keyed.owner == *owner
            && keyed.provider == target.provider
            && keyed.model == target.model;
        if same { keyed.key } else { self.made_key(target) }
    }

    fn made_key(&self, target: &Target) -> CacheKey {
        let scope = match self.plan.cache.scope {
            CacheScope::Project => Scope::Project(&self.incoming.key.project),
            CacheScope::Key => Scope::Key(&self.incoming.key.id),
        };
        let adapter = target.adapter.map(|adapter| adapter.to_string());
        let mut keyer = Keyer::new(scope, &target.provider, &target.model, self.request.endpoint.name());
        if let Some(adapter) = &adapter {
            keyer.field("fulcrum adapter", adapter.as_bytes());
        }
        for name in self.request.codec().headers() {
            if let Some(value) = self.incoming.headers.get(*name) {
                keyer.field(name, value.as_bytes());
            }
        }
        for (name, value) in self.request.object().iter().filter(|(name, _)| !NOT_KEYED.contains(name)) {
            keyer.field(name, value.as_bytes());
        }
        keyer.finish()
    }

    /// Whether an answer is not of the form asked for, on a route that minds.
    fn is_flawed(&self, body: &[u8]) -> bool {
        let wanted = self.plan.repair.then(|| Wanted::of(&self.request)).flatten();
        wanted.is_some_and(|wanted| wanted.flaw(body).is_some())
    }

    /// Stores an answer under the key of the target that gave it.
    fn store(&self, key: CacheKey, target: &Arc<Target>, body: Bytes, spent: Spent) {
        let planned_target = self.plan.targets.first().is_some_and(|first| first.id == target.id);
        let key = if planned_target { key } else { self.key(target) };
        let prompt =
            self.request.prompt.as_ref().map(|applied| (applied.version.name.clone(), applied.version.version));
        self.parts.cache.put(
            key,
            Entry {
                body,
                dialect: self.request.endpoint.dialect(),
                usage: spent.usage,
                cost: spent.cost,
                stored_at: now(),
                ttl: self.plan.cache.ttl,
                project: self.incoming.key.project.clone(),
                provider: target.provider.clone(),
                model: target.model.clone(),
                prompt,
                replay: Replay::default(),
            },
        );
    }

    /// Answers from the cache.
    async fn hit(mut self: Box<Self>, key: CacheKey, entry: &Arc<Entry>, mut meter: Box<Meter>) -> Reply {
        self.head.cache = Some("hit");
        self.head.age = Some(entry.age(now()));
        self.head.cost = Some(Nanos(0));
        let is_by = |target: &&Arc<Target>| target.provider == entry.provider && target.model == entry.model;
        let planned = self.plan.targets.first().filter(is_by).map(|target| target.id.clone());
        self.head.model = Some(planned.unwrap_or_else(|| format!("{}/{}", entry.provider, entry.model).into()));
        meter.cache(CacheState::Hit, entry.cost);
        meter.keep_answer(&entry.body);
        if let Some(row) = meter.row() {
            row.provider = Some(entry.provider.clone());
            row.model = Some(entry.model.clone());
        }
        if let Err(error) = meter.finish(Status::Ok, 200, None).await {
            return error_reply(self.head, &error);
        }
        memo::remember(&self.incoming, &self.request);
        let asked = &self.request.asked;
        if !asked.stream || asked.include_usage {
            return self.whole(entry.body.clone());
        }
        let events = self.parts.cache.replay(key, entry, || {
            self.request.codec().as_stream(&entry.body, &self.request.told(&self.incoming)).unwrap_or_default()
        });
        Reply { head: self.head, body: Body::Events(events) }
    }
}

/// One request that follows a running call; it has a meter where that call's own is another's.
struct Passenger {
    head: Head,
    stream: bool,
    told: AnswerContext,
    meter: Option<Box<Meter>>,
    deadline: Option<Instant>,
}

impl Passenger {
    fn of(planned: &Planned, meter: Option<Box<Meter>>) -> Self {
        let Planned { head, request, incoming, .. } = planned;
        let deadline = planned.deadline();
        Self { head: head.clone(), stream: request.asked.stream, told: request.told(incoming), meter, deadline }
    }

    /// Follows until the answer is there, or its stream has begun.
    async fn ride(mut self, mut follower: Follower<Departure>) -> Result<Reply, (Self, Aborted)> {
        let boarded = Instant::now();
        let departure = match within(self.deadline, follower.head()).await {
            Some(Ok(departure)) => departure,
            Some(Err(aborted)) => return Err((self, aborted)),
            None => return Err((self, Aborted::Lost)),
        };
        self.note(&departure);
        self.waited(boarded.elapsed());
        if departure.is_stream && self.stream {
            let ride = Ride {
                dialect: self.head.dialect,
                tap: self.head.dialect.codec().tap(self.told.include_usage),
                held: BytesMut::new(),
                meter: self.meter,
                follower,
                decoder: Decoder::default(),
                over: false,
            };
            let events = stream::unfold(ride, |mut ride| async move {
                ride.next().await.map(|bytes| (Ok::<_, Infallible>(bytes), ride))
            });
            return Ok(Reply { head: self.head, body: Body::Stream(Box::pin(events)) });
        }
        let mut all = BytesMut::new();
        let boarded = Instant::now();
        loop {
            match within(self.deadline, follower.next()).await {
                Some(None) => break,
                Some(Some(Ok(chunk))) => all.extend_from_slice(&chunk),
                Some(Some(Err(aborted))) => return Err((self, aborted)),
                None => return Err((self, Aborted::Lost)),
            }
        }
        self.waited(boarded.elapsed());
        let body = match departure.is_stream {
            false => Ok(all.freeze()),
            true => whole_of(all.freeze(), self.head.dialect, &self.told),
        };
        Ok(self.arrive(body, follower.spent().unwrap_or_default()).await)
    }

    /// Waiting for another's call is not Fulcrum's own work.
    fn waited(&mut self, wait: Duration) {
        if let Some(meter) = &mut self.meter {
            meter.waited(wait);
        }
    }

    fn note(&mut self, departure: &Departure) {
        self.head.model = Some(departure.target.id.clone());
        self.head.emulated = departure.emulated.clone();
        self.head.repair = departure.repair;
        if let Some(row) = self.meter.as_mut().and_then(|meter| meter.row()) {
            row.provider = Some(departure.target.provider.clone());
            row.model = Some(departure.target.model.clone());
            self.head.cost = Some(Nanos(0));
            return;
        }
        self.head.attempts = departure.attempts;
        self.head.cost = departure.cost;
    }

    /// Settles, and gives the whole answer in the form that was asked for.
    async fn arrive(mut self, body: Result<Bytes, Error>, spent: Spent) -> Reply {
        if let Some(meter) = &mut self.meter {
            meter.cache(CacheState::Coalesced, spent.cost);
            if let Ok(body) = &body {
                meter.keep_answer(body);
            }
            let (status, http_status, code) = match &body {
                Ok(_) => (Status::Ok, 200, None),
                Err(error) => (Status::Error, error.status(), Some(error.code.text())),
            };
            if let Err(error) = meter.finish(status, http_status, code).await {
                return error_reply(self.head, &error);
            }
        }
        let body = body.and_then(|body| match self.stream {
            false => Ok(Body::Whole(body)),
            true => self
                .head
                .dialect
                .codec()
                .as_stream(&body, &self.told)
                .map(Body::Events)
                .map_err(|error| Error::new(Code::UpstreamProtocol, error.to_string())),
        });
        match body {
            Ok(body) => Reply { head: self.head, body },
            Err(error) => error_reply(self.head, &error),
        }
    }
}

/// What comes before the deadline, where there is one.
async fn within<T>(deadline: Option<Instant>, coming: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, coming).await.ok(),
        None => Some(coming.await),
    }
}

/// A stream's bytes as one whole answer; the stream's own error where it ended in one.
fn whole_of(bytes: Bytes, dialect: DialectId, told: &AnswerContext) -> Result<Bytes, Error> {
    let mut tap = dialect.codec().tap(true);
    let events = events_of(bytes);
    for event in &events {
        if let Chunk::Failed(data) = tap.observe(event) {
            return Err(Error::new(Code::UpstreamProtocol, message_of(&data)));
        }
    }
    let whole = dialect.codec().as_whole(&events, told);
    whole.map_err(|error| Error::new(Code::UpstreamProtocol, error.to_string()))
}

/// A stream that follows a running one.
struct Ride {
    follower: Follower<Departure>,
    decoder: Decoder,
    dialect: DialectId,
    tap: Box<dyn Tap>,
    /// What may be the last bytes, until the call is settled.
    held: BytesMut,
    meter: Option<Box<Meter>>,
    over: bool,
}

impl Ride {
    async fn next(&mut self) -> Option<Bytes> {
        while !self.over {
            match self.decoder.event() {
                Ok(Some(event)) => {
                    if let Some(bytes) = self.take(&event).await {
                        return Some(bytes);
                    }
                }
                Ok(None) => match self.wait().await {
                    Some(Ok(chunk)) => self.decoder.push(chunk),
                    Some(Err(aborted)) => return Some(self.fail(&error_of(&aborted)).await),
                    None if self.tap.may_end_here() => return Some(self.arrive(Bytes::new()).await),
                    None => return Some(self.fail(&error_of(&Aborted::Lost)).await),
                },
                Err(error) => return Some(self.fail(&Error::new(Code::UpstreamProtocol, error.to_string())).await),
            }
        }
        None
    }

    async fn wait(&mut self) -> Option<Result<Bytes, Aborted>> {
        let boarded = Instant::now();
        let next = self.follower.next().await;
        if let Some(meter) = &mut self.meter {
            meter.waited(boarded.elapsed());
        }
        next
    }

    async fn take(&mut self, event: &Event) -> Option<Bytes> {
        match self.tap.observe(event) {
            Chunk::Pass(bytes) => {
                if let Some(meter) = &mut self.meter {
                    meter.first_byte();
                }
                if self.tap.may_end_here() {
                    self.held.extend_from_slice(&bytes);
                    return None;
                }
                Some(bytes)
            }
            Chunk::Drop => None,
            Chunk::Done(bytes) => Some(self.arrive(bytes).await),
            Chunk::Broken => Some(self.fail(&Error::new(Code::UpstreamProtocol, "a chunk is no JSON object")).await),
            Chunk::Failed(data) => {
                let settled = self.settle(Status::Error, Some(Code::UpstreamProtocol)).await;
                self.over = true;
                let error = settled.err();
                let error = error.unwrap_or_else(|| Error::new(Code::UpstreamProtocol, message_of(&data)));
                Some(self.error_event(&error))
            }
        }
    }

    async fn arrive(&mut self, last: Bytes) -> Bytes {
        self.over = true;
        match self.settle(Status::Ok, None).await {
            Ok(()) if self.held.is_empty() => last,
            Ok(()) => [&self.held[..], &last[..]].concat().into(),
            Err(error) => self.error_event(&error),
        }
    }

    fn error_event(&self, error: &Error) -> Bytes {
        self.tap.error_event(error).unwrap_or_else(|| self.dialect.codec().error_event(error))
    }

    async fn fail(&mut self, error: &Error) -> Bytes {
        self.over = true;
        let settled = self.settle(Status::Error, Some(error.code)).await;
        self.error_event(settled.as_ref().err().unwrap_or(error))
    }

    async fn settle(&mut self, status: Status, code: Option<Code>) -> Result<(), Error> {
        // The lead settles before it pushes its last bytes, but ends the flight after: what it spent is known then.
        if status == Status::Ok {
            while self.follower.next().await.is_some() {}
        }
        let spent = self.follower.spent().unwrap_or_default();
        let Some(meter) = &mut self.meter else { return Ok(()) };
        meter.cache(CacheState::Coalesced, spent.cost);
        meter.finish(status, 200, code.map(Code::text)).await
    }
}
