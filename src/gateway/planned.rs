//! A call whose request and plan stand.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::answer::SMALL_ANSWER;
use super::attempt::Attempts;
use super::feed::Feed;
use super::incoming::Incoming;
use super::meaning::Meant;
use super::meter::Meter;
use super::rendering::Rendering;
use super::reply::{Body, Head, Reply, error_reply};
use super::request::Request;
use super::state::{Live, Parts};
use crate::chat::{Code, Error, Undo};
use crate::routing::{Plan, Target};
use crate::upstream::{Failure, Phase};
use crate::usage::Status;
use crate::wire::ProviderDialect;
use crate::wire::dialect::AnswerContext;

/// A call whose request and plan stand.
pub struct Planned {
    /// What stays over a reload.
    pub parts: Arc<Parts>,
    /// The configuration that the call began with.
    pub live: Arc<Live>,
    /// The request as it arrived.
    pub incoming: Incoming,
    /// The request as it was prepared.
    pub request: Arc<Request>,
    /// The targets, in order.
    pub plan: Plan,
    /// What the reply's headers say so far.
    pub head: Head,
    /// What its question means, where stored answers are found by that.
    pub meant: Meant,
}

impl Planned {
    /// When the caller's own limit passes.
    pub fn deadline(&self) -> Option<Instant> {
        self.incoming.timeout.map(|limit| self.incoming.started + limit)
    }

    /// The error of a call that waited for what it means until its caller's own limit passed.
    pub fn late(&self) -> Option<Error> {
        self.deadline().filter(|deadline| *deadline <= Instant::now())?;
        Some(Failure::TimedOut(Phase::Caller).into_error(""))
    }

    /// Itself, with the keys of the cache worked out.
    pub fn keyed(self: Box<Self>) -> Box<Self> {
        if let Some(target) = self.plan.targets.first() {
            // Kept with the rendering.
            let _kept = self.keys(target);
        }
        self
    }

    /// The attempts that may be made for it.
    pub fn attempts(&self) -> Attempts<'_> {
        let deadline = self.deadline();
        let Self { parts, live, incoming, request, plan, .. } = self;
        Attempts { parts, live, incoming, request, plan, deadline }
    }

    /// The request as `target` gets it, or as the first target does; as it stands for all where that cannot be rendered.
    pub fn rendering(&self, target: Option<&Target>) -> Arc<Rendering> {
        let target = target.or(self.plan.targets.first().map(|first| &**first));
        let rendering = target.and_then(|target| self.request.rendering(target).ok());
        rendering.unwrap_or_else(|| self.request.first().clone())
    }

    /// A feed for a stream of `target`'s in a dialect, which answers `rendering`.
    pub fn feed(
        &self,
        (target, rendering): (&Target, &Rendering),
        from: (ProviderDialect, Undo),
        keep_usage: bool,
        context: &AnswerContext,
    ) -> Feed {
        let client = self.live.clients.get(&target.provider);
        let by_choice = client.is_some_and(|client| rendering.is_counted_by_choice(client));
        rendering.feed(target, from, (keep_usage, by_choice), context)
    }

    /// An answer that is made for this call alone, with room of its own.
    ///
    /// # Errors
    /// Where there is none.
    pub fn held(&self, body: Bytes) -> Result<Bytes, Error> {
        if body.len() <= SMALL_ANSWER {
            return Ok(body);
        }
        let mut room = self.parts.answers.room(self.live.answers, &self.incoming.key.id);
        room.reach(body.len())?;
        Ok(room.hold(body))
    }

    /// A whole answer to `rendering` in the form that the caller asked for.
    pub fn whole(self: Box<Self>, rendering: &Rendering, body: Bytes) -> Reply {
        if !rendering.asked.stream || rendering.passes() {
            return Reply { head: self.head, body: Body::Whole(body) };
        }
        match rendering.codec().as_stream(&body, &rendering.answer_context(&self.incoming)) {
            Ok(events) => match self.held(events) {
                Ok(events) => Reply { head: self.head, body: Body::Events(events) },
                Err(error) => error_reply(self.head, &error),
            },
            Err(error) => error_reply(self.head, &Error::new(Code::UpstreamProtocol, error.to_string())),
        }
    }
}

/// Settles a call that ends in an error, and writes the error.
pub async fn refuse(mut head: Head, meter: Meter, error: Error) -> Reply {
    head.attempts = meter.attempts();
    if error.code == Code::LedgerUnavailable {
        meter.finish_apart(&error);
        return error_reply(head, &error);
    }
    let settled = meter.finish(Status::Error, error.status(), Some(error.code.text())).await;
    error_reply(head, &settled.err().unwrap_or(error))
}
