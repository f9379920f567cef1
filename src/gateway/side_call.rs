//! A call that the gateway makes of its own on account of a caller's: the same request once more, at a stated target, off the
//! caller's path.
//!
//! It has a row and a cost of its own, marked with its purpose and the caller's request. It asks for a whole answer, once, with
//! no part of the cache, and behind callers: it leaves the providers' last places to them, takes no room of their answers, and
//! cools no target for them. Its user spawns [`SideCall::run`] in [`Parts::tasks`].

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::answer::{Answered, Served};
use super::aside::{LARGE, aside};
use super::attempt::Attempts;
use super::incoming::{Incoming, Own};
use super::meaning::Embedder;
use super::meter::Meter;
use super::open_attempt::Ended;
use super::planned::Planned;
use super::prepared::Known;
use super::request::Request;
use super::side_calls::Place;
use super::state::{Live, Parts};
use super::words::limit_name;
use crate::cache::Directive;
use crate::chat::{Code, Error};
use crate::routing::{Plan, Standing, Target};
use crate::types::{Nanos, RequestId, now};
use crate::usage::{Purpose, Status};

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The largest request that is made again: its bytes are copied.
const LARGEST: usize = 1 << 20;

/// A call that the gateway may make of its own.
pub struct SideCall {
    parts: Arc<Parts>,
    live: Arc<Live>,
    incoming: Incoming,
    request: Arc<Request>,
    plan: Plan,
    target: Arc<Target>,
    _place: Place,
}

/// One whose target has answered or failed. Its row is not settled yet: a look at the answer may add attempts to that.
pub struct Asked {
    call: SideCall,
    meter: Meter,
    /// The answer in the caller's dialect.
    pub answer: Result<Bytes, Error>,
}

/// How such a call ended.
pub struct SideAnswer {
    /// Its row.
    pub id: RequestId,
    /// The answer in the caller's dialect.
    pub answer: Result<Bytes, Error>,
    /// What it cost; `None` where no price is known.
    pub cost: Option<Nanos>,
    /// How long it took.
    pub latency: Duration,
}

impl SideCall {
    /// The request of `call` once more, at `target`; `None` where it cannot be made just now, which its metric counts. Nothing of
    /// it is done yet.
    pub fn of(call: &Planned, target: &Arc<Target>, purpose: Purpose) -> Option<Self> {
        Self::made(call, target, purpose)
            .inspect_err(|why| call.parts.metrics.saw_own_request(purpose.text(), why))
            .ok()
    }

    fn made(call: &Planned, target: &Arc<Target>, purpose: Purpose) -> Result<Self, &'static str> {
        let Planned { parts, live, incoming, request, plan, .. } = call;
        let now = now();
        if !request.endpoint.is_answer() {
            return Err("no_answer");
        }
        // What the provider does for the caller, it would do again.
        if request.rendering(target).is_ok_and(|rendering| rendering.acts()) {
            return Err("acts");
        }
        if request.size() > LARGEST {
            return Err("too_large");
        }
        // Callers' probes find out whether a target recovers.
        let standing = parts.health.state(target, &incoming.key.id, now);
        if standing != Standing::Healthy || !parts.side_calls.may_ask(&target.id, now) {
            return Err("cooling");
        }
        let place = parts.side_calls.place(&incoming.key.id).ok_or("busy")?;
        let own = Own { purpose, of: incoming.id };
        let incoming = Incoming {
            id: RequestId::new(),
            body: Bytes::new(),
            cache: Directive { read: false, store: false, ..Directive::default() },
            timeout: Some(LIMIT),
            background: true,
            judged: None,
            own: Some(own),
            ..incoming.clone()
        };
        Ok(Self {
            parts: parts.clone(),
            live: live.clone(),
            incoming,
            request: request.clone(),
            plan: plan.alone(target.clone()),
            target: target.clone(),
            _place: place,
        })
    }

    /// Its row.
    pub fn id(&self) -> RequestId {
        self.incoming.id
    }

    /// The most that it may cost, as an attempt reserves it; `None` where no price is known, or the target has no words for it.
    pub fn reserve(&self) -> Option<Nanos> {
        let client = self.live.clients.get(&self.target.provider)?;
        let rendering = self.request.rendering(&self.target).ok()?;
        let (pricing, most) = self.live.priced(client.provider(), &self.target);
        pricing.cost(&rendering.own_reserve(most).in_tier(rendering.asked_tier(client)))
    }

    /// The most tokens that a shadow asks for where the request leaves that open, so that it costs no more than it reserved.
    fn bound(&self) -> Option<(&'static str, u64)> {
        self.incoming.own.filter(|own| own.purpose == Purpose::Shadow)?;
        let client = self.live.clients.get(&self.target.provider)?;
        let (_, most) = self.live.priced(client.provider(), &self.target);
        let bound = self.request.rendering(&self.target).ok()?.own_bound(most)?;
        Some((limit_name(client, &self.target), bound))
    }

    /// Copies what it needs of the caller's request, so that nothing of that is held any longer.
    async fn detach(&mut self) -> Result<(), Error> {
        let (request, bound) = (self.request.clone(), self.bound());
        let again = match request.size() > LARGE {
            true => aside(&self.parts.pool, move || request.whole_again(bound)).await??,
            false => request.whole_again(bound)?,
        };
        self.request = Arc::new(again);
        Ok(())
    }

    /// Makes the call, within its own limit of time.
    pub async fn run(self) -> SideAnswer {
        self.ask().await.settle(None).await
    }

    /// Makes the call, and leaves its row to be settled.
    pub async fn ask(mut self) -> Asked {
        (self.incoming.started, self.incoming.started_at) = (Instant::now(), now());
        let meter = Meter::begin(self.parts.clone(), &self.incoming);
        let prompt = self.request.prompt().map(|resolved| resolved.version.clone());
        let known = Known { requested: self.request.requested().into(), stream: false, prompt, assigned: None };
        meter.note(&known, &self.incoming);
        meter.note_plan(&self.plan);
        let answer = match self.detach().await {
            Ok(()) => self.answer(&meter).await,
            Err(error) => Err(error),
        };
        Asked { call: self, meter, answer }
    }

    async fn answer(&self, meter: &Meter) -> Result<Bytes, Error> {
        let Self { parts, live, incoming, request, plan, .. } = self;
        let deadline = Some(incoming.started + LIMIT);
        let attempts = Attempts { parts, live, incoming, request, plan, deadline };
        let answer = match attempts.run(meter).await {
            Ok(Served { attempt, answer: Answered::Whole { body, used, .. }, .. }) => {
                attempt.end(Ended::well(used));
                Ok(body)
            }
            Ok(_) => Err(Error::new(Code::UpstreamError, "the answer came as a stream, which was not asked for")),
            Err(error) => Err(error),
        };
        parts.side_calls.ended(&self.target.id, answer.is_ok(), now());
        if let Some(quiet) = answer.as_ref().err().and_then(|error| error.retry_after) {
            parts.side_calls.hush(&self.target.id, quiet);
        }
        answer
    }
}

impl Asked {
    /// What embeds texts on account of the call; `None` where there is no embedding model.
    pub fn embedder(&self) -> Option<Embedder<'_>> {
        let SideCall { parts, live, incoming, .. } = &self.call;
        Embedder::of((parts, live), incoming, &self.meter)
    }

    /// Settles the row, with `code` as what a look at a good answer found.
    pub async fn settle(self, code: Option<&'static str>) -> SideAnswer {
        let Self { call, meter, answer } = self;
        let (cost, latency) = (meter.cost(), call.incoming.started.elapsed());
        let settled = match &answer {
            Ok(_) => meter.finish(Status::Ok, 200, code).await,
            Err(error) => meter.finish(Status::Error, error.status(), Some(error.code.text())).await,
        };
        SideAnswer { id: call.id(), answer: settled.and(answer), cost, latency }
    }
}
