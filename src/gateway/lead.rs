//! The call that goes out for many equal requests, in a task of its own.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::answer::{Answered, Served};
use super::follow::{FollowerCall, error_of};
use super::meter::Meter;
use super::open_attempt::Ended;
use super::planned::Planned;
use super::reply::{Departure, Reply, error_reply};
use super::stream::{Begun, Relay};
use crate::cache::{Aborted, CacheKey, Lead, Outcome, Spent};
use crate::chat::{Response, Usage};
use crate::usage::Status;
use crate::wire::dialect::{AnswerContext, ClientCodec};
use crate::wire::json::{Edits, Object};

/// How often a lead looks whether any request still follows.
const LOOK: Duration = Duration::from_millis(200);

/// Starts the one call that goes out, in a task of its own, and follows it.
pub async fn lead(planned: Box<Planned>, meter: Meter, key: CacheKey, lead: Lead<Departure>) -> Reply {
    let parts = planned.parts.clone();
    let follower = lead.follower();
    let follower_call = FollowerCall::of(&planned, None);
    let call = parts.tasks.spawn(Leading::new(planned, key, lead).go_out(meter));
    match follower_call.follow(follower).await {
        Ok(reply) => reply,
        Err((FollowerCall { mut head, .. }, aborted)) => {
            if let Aborted::Failed(_) = aborted {
                head.attempts = call.await.unwrap_or_default();
            }
            error_reply(head, &error_of(&aborted))
        }
    }
}

/// A call that leads, as it goes out.
struct Leading {
    planned: Box<Planned>,
    key: CacheKey,
    lead: Lead<Departure>,
    look: Interval,
}

impl Leading {
    fn new(planned: Box<Planned>, key: CacheKey, lead: Lead<Departure>) -> Self {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { planned, key, lead, look }
    }

    /// Makes the call, which ends early where no request follows any more; returns how many attempts it took.
    async fn go_out(mut self, meter: Meter) -> usize {
        let served = {
            let attempts = self.planned.attempts();
            while_followed(&self.lead, &mut self.look, Box::pin(attempts.run(&meter))).await
        };
        let Served { attempt, target, rendering, answer, emulated, repair } = match served {
            None => return 0,
            Some(Ok(served)) => served,
            Some(Err(error)) => {
                let attempts = meter.attempts();
                let settled = meter.finish(Status::Error, error.status(), Some(error.code.text())).await;
                self.lead.finish(Outcome::Failed(settled.err().unwrap_or(error)));
                return attempts;
            }
        };
        let attempts = meter.attempts();
        let departure = Departure { target, attempts, cost: None, is_stream: false, emulated, repair };
        match answer {
            Answered::Whole { body, used, ended_well, .. } => {
                attempt.end(Ended::well(used));
                meter.keep_answer(&body);
                let departure = Departure { attempts: meter.attempts(), cost: meter.cost(), ..departure };
                let spent = Spent { usage: used.usage, cost: departure.cost };
                match meter.finish(Status::Ok, 200, None).await {
                    Ok(_) => self.hand_over(departure, body, spent, ended_well),
                    Err(error) => self.lead.finish(Outcome::Failed(error)),
                }
            }
            // Such answers are shared with nobody.
            Answered::Bytes { .. } => {}
            Answered::Stream { dialect, undo, answer, decoder, first } => {
                let context = rendering.answer_context(&self.planned.incoming);
                let begun = Begun {
                    target: departure.target.clone(),
                    attempt,
                    answer,
                    decoder,
                    first,
                    feed: self.planned.feed((&departure.target, &rendering), (dialect, undo), true, &context),
                    into: self.planned.head.dialect,
                    keep_events: true,
                    passing: None,
                    context,
                };
                self.relay(Departure { is_stream: true, ..departure }, begun, meter).await;
            }
        }
        attempts
    }

    /// Gives the followers an answer that is whole and settled.
    fn hand_over(mut self, departure: Departure, body: Bytes, spent: Spent, ended_well: bool) {
        if ended_well {
            self.planned.store(self.key, &departure.target, body.clone(), spent);
        }
        self.lead.head(departure);
        self.lead.push(body);
        self.lead.finish(Outcome::Complete(spent));
    }

    /// Gives the followers a stream as it comes.
    async fn relay(mut self, departure: Departure, begun: Begun, meter: Meter) {
        let (target, context) = (begun.target.clone(), begun.context.clone());
        self.lead.head(departure);
        let mut relay = Relay::new(self.planned.parts.clone(), begun, meter).shared();
        loop {
            // Polled to its end: dropped while it settles, it would lose the stream's last event.
            let lead = &self.lead;
            let next = async {
                lead.paced().await;
                relay.next().await
            };
            match while_followed(lead, &mut self.look, next).await {
                None => return,
                Some(Some(bytes)) => self.lead.push(bytes),
                Some(None) => break,
            }
        }
        if let Some(error) = relay.failed() {
            return self.lead.finish(Outcome::Failed(error));
        }
        let spent = relay.spent();
        let codec = self.planned.request.endpoint.dialect().codec();
        let whole = relay.events().and_then(|events| codec.as_whole(&events, &context).ok());
        // By the rule for whole answers.
        let whole = whole.filter(|body| codec.observe(body).is_ok_and(|observed| observed.ended_well));
        if let Some(body) = whole.filter(|body| !self.planned.is_malformed(body)) {
            let counted = spent.usage.and_then(|usage| with_usage(codec, &body, (usage, &context)));
            self.planned.store(self.key, &target, counted.unwrap_or(body), spent);
        }
        self.lead.finish(Outcome::Complete(spent));
    }
}

/// A whole answer with the usage that its row has, where the provider reported none; a stored answer has it.
fn with_usage(codec: &dyn ClientCodec, body: &Bytes, (usage, context): (Usage, &AnswerContext)) -> Option<Bytes> {
    if !usage.estimated {
        return None;
    }
    let response = codec.read_response(body).ok().filter(|response| response.usage.is_none())?;
    let written = codec.write_response(&Response { usage: Some(usage), ..response }, context);
    let written = Object::read_answer(written).ok()?;
    let (name, value) = written.iter().find(|(name, _)| name.starts_with("usage"))?;
    let mut edits = Edits::default();
    edits.set(name, value.to_owned());
    Some(Object::read_answer(body.clone()).ok()?.edited(&edits))
}

/// Runs what a lead does; `None` where no request follows any more.
async fn while_followed<T>(lead: &Lead<Departure>, look: &mut Interval, run: impl Future<Output = T>) -> Option<T> {
    let mut run = pin!(run);
    loop {
        tokio::select! {
            biased;
            done = &mut run => return Some(done),
            _ = look.tick() => if lead.followers() == 0 { return None },
        }
    }
}
