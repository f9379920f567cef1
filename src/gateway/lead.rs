//! The call that goes out for many equal requests, in a task of its own.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::answer::{Answered, Served};
use super::follow::{FollowerCall, error_of};
use super::meter::{Ended, Meter};
use super::planned::Planned;
use super::reply::{Departure, Reply, error_reply};
use super::stream::{Begun, Relay};
use crate::cache::{CacheKey, Join, Lead, Outcome, Spent};
use crate::types::now;
use crate::usage::Status;

/// How often a lead looks whether any request still follows.
const LOOK: Duration = Duration::from_millis(200);

/// Starts the one call that goes out, in a task of its own, and follows it.
pub async fn lead(planned: Box<Planned>, meter: Box<Meter>, key: CacheKey, lead: Lead<Departure>) -> Reply {
    let parts = planned.parts.clone();
    let Join::Follow(follower) = parts.cache.join(key, now(), Some(Duration::ZERO)) else {
        return planned.direct(meter).await;
    };
    let follower_call = FollowerCall::of(&planned, None);
    parts.tasks.spawn(go_out(planned, meter, key, lead));
    match follower_call.follow(follower).await {
        Ok(reply) => reply,
        Err((follower_call, aborted)) => error_reply(follower_call.head, &error_of(&aborted)),
    }
}

/// Makes the call, which ends early where no request follows any more.
async fn go_out(planned: Box<Planned>, mut meter: Box<Meter>, key: CacheKey, mut lead: Lead<Departure>) {
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
            let context = planned.request.answer_context(&planned.incoming);
            let begun = Begun {
                target: target.clone(),
                answer,
                decoder,
                first,
                feed: planned.feed(&target, (dialect, answer_tool), true, &context),
                into: planned.head.dialect,
                keep_events: true,
                passing: None,
                context: context.clone(),
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
            let whole = relay.events().and_then(|events| planned.request.codec().as_whole(&events, &context).ok());
            if let Some(body) = whole.filter(|body| !planned.is_flawed(body)) {
                planned.store(key, &target, body, spent);
            }
            lead.finish(Outcome::Complete(spent));
        }
    }
}
