//! A call of its own, shared with nobody: attempt, reply, settle.

use std::sync::Arc;

use super::answer::{Answered, Served};
use super::binary_relay::BinaryRelay;
use super::meter::Meter;
use super::open_attempt::Ended;
use super::planned::{Planned, refuse};
use super::reply::{Body, Reply, error_reply};
use super::stream::{Begun, Relay};
use crate::chat::Used;
use crate::routing::Target;
use crate::usage::Status;
use crate::wire::endpoint::{Counting, Task};

impl Planned {
    /// Makes the call of its own, shared with nobody.
    pub async fn direct(mut self: Box<Self>, meter: Meter) -> Reply {
        if let Task::Count(counting) = self.request.endpoint.task()
            && !self.provider_counts()
        {
            return Box::pin(self.count(counting, meter)).await;
        }
        let attempts = self.attempts();
        let served = attempts.run(&meter).await;
        self.head.attempts = meter.attempts();
        match served {
            Ok(served) => self.reply(served, meter).await,
            Err(error) => Box::pin(refuse(self.head, meter, error)).await,
        }
    }

    /// Whether the provider of the first target counts tokens as the caller asks for them.
    fn provider_counts(&self) -> bool {
        let kind = |target: &Arc<Target>| Some(self.live.clients.get(&target.provider)?.provider().kind);
        let Some(count) = self.request.first().counts() else { return false };
        self.plan.targets.first().and_then(kind).is_some_and(|kind| kind.row().has(count))
    }

    /// Counts the request's tokens by estimate, and says so.
    async fn count(mut self: Box<Self>, counting: &Counting, meter: Meter) -> Reply {
        self.head.emulated.note("count_tokens");
        if let Err(error) = meter.finish(Status::Ok, 200, None).await {
            return error_reply(self.head, &error);
        }
        let body = (counting.answer)(self.rendering(None).input_tokens());
        Reply { head: self.head, body: Body::Whole(body) }
    }

    async fn reply(mut self: Box<Self>, served: Served, meter: Meter) -> Reply {
        self.head.model = Some(served.target.id.clone());
        self.head.simulated = served.target.simulated;
        self.head.emulated = served.emulated;
        self.head.repair = served.repair;
        let (attempt, rendering) = (served.attempt, served.rendering);
        let (body, used) = match served.answer {
            Answered::Whole { body, used, kind, .. } => {
                self.head.kind = kind;
                (body, used)
            }
            Answered::Bytes { kind, answer, first } => {
                self.head.kind = Some(kind);
                let used = rendering.used(Used::default(), 0);
                let relay = BinaryRelay::new(self.parts, served.target, (answer, first), (meter, attempt, used));
                return Reply { head: self.head, body: Body::Bytes(Box::pin(relay.into_stream())) };
            }
            Answered::Stream { dialect, undo, answer, decoder, first } => {
                let context = rendering.answer_context(&self.incoming);
                let keep_usage = rendering.asked.include_usage;
                let feed = self.feed((&served.target, &rendering), (dialect, undo), keep_usage, &context);
                let begun = Begun {
                    target: served.target,
                    attempt,
                    answer,
                    decoder,
                    first,
                    feed,
                    into: self.head.dialect,
                    keep_events: meter.keeps_answer(),
                    passing: rendering.passes().then(|| rendering.used(Used::default(), 0)),
                    context,
                };
                let relay = Relay::new(self.parts.clone(), begun, meter);
                return Reply { head: self.head, body: Body::Stream(Box::pin(relay.into_stream())) };
            }
        };
        attempt.end(Ended::well(used));
        meter.keep_answer(&body);
        self.head.cost = meter.cost();
        if let Err(error) = meter.finish(Status::Ok, 200, None).await {
            return Box::pin(refuse(self.head, meter, error)).await;
        }
        self.whole(&rendering, body)
    }
}
