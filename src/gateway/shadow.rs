//! The shadow of a route: a share of its calls also goes to a candidate once the caller has its answer, and both answers are
//! stored for comparison.

use std::sync::Arc;

use bytes::Bytes;

use super::after::Settled;
use super::meaning::Meant;
use super::meter::Meter;
use super::planned::Planned;
use super::reply::Head;
use super::side_call::SideCall;
use crate::routing::Shadow;
use crate::types::{Nanos, now};
use crate::usage::{Pair, Purpose};

/// The most that is stored of an answer, in bytes.
const MOST_STORED: usize = 64 << 10;

/// Draws whether a call is copied, and has that done once its answer is settled. Calls of batches, and those that forbid storing,
/// are not.
pub fn draw(call: &Planned, meter: &Meter) {
    let Some(shadow) = &call.plan.shadow else { return };
    let incoming = &call.incoming;
    let may_be = !incoming.background && incoming.cache.store && call.request.endpoint.is_answer();
    if !may_be || !shadow.takes(rand::random()) {
        return;
    }
    let shadow = shadow.clone();
    let mut incoming = incoming.clone();
    (incoming.body, incoming.judged) = (Bytes::new(), None);
    let (parts, live, request) = (call.parts.clone(), call.live.clone(), call.request.clone());
    let head = Head::new(incoming.id, 200, incoming.endpoint.dialect());
    let copy =
        Box::new(Planned { parts, live, incoming, request, plan: call.plan.clone(), head, meant: Meant::default() });
    meter.afterwards(Box::new(move |settled| {
        let (answer, is_cut) = bounded(&settled.answer);
        let settled = Settled { answer, ..settled };
        copy.parts.tasks.clone().spawn(compare(copy, shadow, settled, is_cut));
    }));
}

/// Asks the candidate, within the day's cap, and stores the pair.
async fn compare(call: Box<Planned>, shadow: Arc<Shadow>, caller: Settled, is_cut: bool) {
    let Some(side) = SideCall::of(&call, &shadow.target, Purpose::Shadow) else { return };
    let (parts, of, project) = (call.parts.clone(), call.incoming.id, call.incoming.key.project.to_string());
    drop(call);
    let left_out = |why| parts.metrics.saw_own_request(Purpose::Shadow.text(), why);
    // What costs nobody anything has no price.
    let free = (shadow.target.local || shadow.target.simulated).then_some(Nanos(0));
    let Some(most) = side.reserve().or(free) else { return left_out("unpriced") };
    let Some(set_aside) = parts.shadows.set_aside(&shadow, most, now()).await else { return left_out("over_cap") };
    let answered = side.run().await;
    set_aside.settle(answered.cost);
    let (shadow_answer, error_code) = match &answered.answer {
        Ok(body) => (Some(bounded(body)), None),
        Err(error) => (None, Some(error.code.text().to_owned())),
    };
    let pair = Pair {
        request: of,
        shadow: answered.id,
        project,
        route: shadow.route.to_string(),
        model: caller.model,
        shadow_model: shadow.target.id.to_string(),
        answer: caller.answer,
        is_cut: is_cut || shadow_answer.as_ref().is_some_and(|(_, is_cut)| *is_cut),
        shadow_answer: shadow_answer.map(|(body, _)| body),
        error_code,
        cost: caller.cost,
        shadow_cost: answered.cost,
        latency_us: caller.latency_us,
        shadow_latency_us: u64::try_from(answered.latency.as_micros()).unwrap_or(u64::MAX),
        stored_at: now(),
    };
    if let Err(error) = parts.shadows.store(&pair).await {
        tracing::warn!(%error, request = of.text().as_str(), "a pair of answers cannot be stored: {error}");
    }
}

/// What is stored of an answer, in bytes of its own, and whether that is not all.
fn bounded(answer: &Bytes) -> (Bytes, bool) {
    let is_cut = answer.len() > MOST_STORED;
    (Bytes::copy_from_slice(&answer[..answer.len().min(MOST_STORED)]), is_cut)
}
