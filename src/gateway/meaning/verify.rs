//! A share of the hits by meaning is asked anew off the caller's path, to see how often they are wrong.
//!
//! Such a request has a row of its own, with its purpose and the caller's request. It goes to the hit's target alone, once, with no part
//! of the cache, and leaves the providers' last places to callers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::super::answer::{Answered, Served};
use super::super::attempt::Attempts;
use super::super::incoming::{Incoming, Own};
use super::super::meter::Meter;
use super::super::open_attempt::Ended;
use super::super::planned::Planned;
use super::super::prepared::Known;
use super::super::request::Request;
use super::super::state::{Live, Parts};
use super::expected::Expected;
use crate::cache::Directive;
use crate::chat::{Code, Error};
use crate::routing::{Plan, Target};
use crate::types::{RequestId, now};
use crate::usage::{Purpose, Status};

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(120);

/// The largest request that is made again, in bytes: it is held until its answer is there.
const LARGEST: usize = 256 << 10;

/// A request that is made again to verify a hit.
struct Verification {
    parts: Arc<Parts>,
    live: Arc<Live>,
    incoming: Incoming,
    request: Arc<Request>,
    plan: Plan,
    expected: Expected,
    _place: OwnedSemaphorePermit,
}

/// Draws whether a hit is verified, and has that done where it is. Hits that go down as streams are not, nor lines of batches.
pub fn draw(call: &Planned, target: &Arc<Target>, stored: &Bytes) {
    let (policy, incoming) = (call.plan.cache, &call.incoming);
    let may_be = !incoming.background && incoming.body.len() <= LARGEST && !call.rendering(Some(target)).asked.stream;
    if !may_be || rand::random::<f64>() >= policy.verify_share.number() {
        return;
    }
    let Some(place) = call.parts.meaning.verifying() else { return };
    let plan = call.plan.alone(target.clone());
    let expected = Expected {
        stored: Bytes::copy_from_slice(stored),
        bound: policy.threshold.number(),
        local_only: plan.local_only,
    };
    let again = Incoming {
        id: RequestId::new(),
        started: Instant::now(),
        started_at: now(),
        cache: Directive { read: false, store: false, ..Directive::default() },
        timeout: Some(LIMIT),
        background: true,
        judged: None,
        own: Some(Own { purpose: Purpose::Verify, of: incoming.id }),
        ..incoming.clone()
    };
    let (parts, live, request) = (call.parts.clone(), call.live.clone(), call.request.clone());
    let verification = Verification { parts, live, incoming: again, request, plan, expected, _place: place };
    call.parts.tasks.spawn(verification.run());
}

impl Verification {
    async fn run(self) {
        let Self { parts, live, incoming, request, plan, expected, .. } = &self;
        let meter = Meter::begin(parts.clone(), incoming);
        let prompt = request.prompt().map(|resolved| resolved.version.clone());
        meter.note(&Known { requested: request.requested().into(), stream: false, prompt, assigned: None }, incoming);
        meter.note_plan(plan);
        let deadline = Some(incoming.started + LIMIT);
        let attempts = Attempts { parts, live, incoming, request, plan, deadline };
        let (status, http_status, code) = match attempts.run(&meter).await {
            Ok(Served { attempt, answer: Answered::Whole { body, used, .. }, .. }) => {
                attempt.end(Ended::well(used));
                (Status::Ok, 200, expected.code_of(&body, (parts, live), (incoming, &meter)).await)
            }
            Ok(_) => failed(&Error::new(Code::UpstreamProtocol, "the answer came as a stream")),
            Err(error) => failed(&error),
        };
        if let Err(error) = meter.finish(status, http_status, code).await {
            tracing::warn!(%error, request = %incoming.id, "a hit was verified, and its row cannot be written: {error}");
        }
    }
}

fn failed(error: &Error) -> (Status, u16, Option<&'static str>) {
    (Status::Error, error.status(), Some(error.code.text()))
}
