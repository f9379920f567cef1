//! Requests that follow a running call of their key, and get the answer of that one.

use std::convert::Infallible;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use tokio::time::{Instant, timeout_at};

use super::feed::{events_of, message_of};
use super::meter::Meter;
use super::planned::{Planned, refuse};
use super::reply::{Body, Departure, Head, Reply, error_reply};
use crate::cache::{Aborted, Follower, Spent};
use crate::chat::{Code, Error};
use crate::upstream::{Failure, Phase};
use crate::usage::{CacheState, Status};
use crate::wire::DialectId;
use crate::wire::dialect::{AnswerContext, Chunk, Tap};
use crate::wire::sse::{Decoder, Event};

/// Follows a running call. Where the other's end says nothing about this request, gives it back to be served anew.
pub async fn follow(
    mut planned: Box<Planned>,
    meter: Meter,
    follower: Follower<Departure>,
) -> Result<Reply, (Box<Planned>, Meter)> {
    planned.head.cache = Some("coalesced");
    meter.cache(CacheState::Coalesced, None);
    let deadline = planned.deadline();
    let follower_call = FollowerCall { deadline, ..FollowerCall::of(&planned, Some(meter)) };
    match follower_call.follow(follower).await {
        Ok(reply) => Ok(reply),
        Err((FollowerCall { head, meter: Some(meter), .. }, aborted)) => match aborted {
            Aborted::Failed(error) if error.code != Code::RequestTimeout => {
                Ok(refuse(head, meter, (*error).clone()).await)
            }
            _ if deadline.is_some_and(|limit| limit <= Instant::now()) => Ok(refuse(head, meter, timed_out()).await),
            _ => {
                planned.head.cache = Some("miss");
                meter.cache(CacheState::Miss, None);
                Err((planned, meter))
            }
        },
        Err((follower_call, aborted)) => Ok(error_reply(follower_call.head, &error_of(&aborted))),
    }
}

/// The error of a request whose own limit passed.
fn timed_out() -> Error {
    Failure::TimedOut(Phase::Caller).into_error("")
}

/// Why a running call brought a request that follows no answer.
pub fn error_of(aborted: &Aborted) -> Error {
    match aborted {
        Aborted::Failed(error) => (**error).clone(),
        Aborted::Lost => Error::new(Code::Internal, "the call that this request shared was lost"),
        Aborted::Behind => Error::new(Code::Overloaded, "this request fell too far behind the answer that it shared"),
    }
}

/// One request that follows a running call.
pub struct FollowerCall {
    pub head: Head,
    stream: bool,
    has_hints: bool,
    context: AnswerContext,
    /// Its own, where the request is not the one whose call goes out.
    meter: Option<Meter>,
    /// When it ends whatever comes; the call that goes out keeps to the limit of its own caller by itself.
    deadline: Option<Instant>,
}

impl FollowerCall {
    /// The call of a request; `meter` is its own, where it is not the one that goes out.
    pub fn of(planned: &Planned, meter: Option<Meter>) -> Self {
        let (Planned { head, incoming, .. }, rendering) = (planned, planned.rendering(None));
        Self {
            head: head.clone(),
            stream: rendering.asked.stream,
            has_hints: meter.is_some() && planned.has_hints(),
            context: rendering.answer_context(incoming),
            meter,
            deadline: None,
        }
    }

    /// Follows until the answer is there, or its stream has begun.
    pub async fn follow(mut self, mut follower: Follower<Departure>) -> Result<Reply, (Self, Aborted)> {
        let began = Instant::now();
        let departure = match within(self.deadline, follower.head()).await {
            Some(Ok(departure)) => departure,
            Some(Err(aborted)) => return Err((self, aborted)),
            None => return Err((self, Aborted::Lost)),
        };
        self.note(&departure);
        self.waited(began.elapsed());
        if departure.is_stream && self.stream {
            let following = FollowerStream {
                dialect: self.head.dialect,
                tap: self.head.dialect.codec().tap(self.context.include_usage),
                held: BytesMut::new(),
                meter: self.meter,
                deadline: self.deadline,
                follower,
                decoder: Decoder::default(),
                over: false,
            };
            let events = stream::unfold(following, |mut following| async move {
                following.next().await.map(|bytes| (Ok::<_, Infallible>(bytes), following))
            });
            return Ok(Reply { head: self.head, body: Body::Stream(Box::pin(events)) });
        }
        let mut all = BytesMut::new();
        let began = Instant::now();
        loop {
            match within(self.deadline, follower.next()).await {
                Some(None) => break,
                Some(Some(Ok(chunk))) => all.extend_from_slice(&chunk),
                Some(Some(Err(aborted))) => return Err((self, aborted)),
                None => return Err((self, Aborted::Lost)),
            }
        }
        self.waited(began.elapsed());
        let body = match departure.is_stream {
            false => Ok(all.freeze()),
            true => whole_of(all.freeze(), self.head.dialect, &self.context),
        };
        Ok(self.arrive(body, follower.spent().unwrap_or_default()).await)
    }

    /// Notes a wait for the other's call, which is not Fulcrum's own work.
    fn waited(&mut self, wait: Duration) {
        if let Some(meter) = &mut self.meter {
            meter.waited(wait);
        }
    }

    fn note(&mut self, departure: &Departure) {
        self.head.model = Some(departure.target.id.clone());
        self.head.simulated = departure.target.simulated;
        // A follower with hints of its own gets a header that says what becomes of them.
        if !self.has_hints {
            self.head.emulated = departure.emulated.clone();
        }
        self.head.repair = departure.repair;
        if let Some(meter) = &self.meter {
            meter.note_answer_of(departure.target.provider.clone(), departure.target.model.clone());
            // A vector may have been asked for.
            (self.head.attempts, self.head.cost) = (meter.attempts(), meter.cost());
            return;
        }
        self.head.attempts = departure.attempts;
        self.head.cost = departure.cost;
    }

    /// Settles, and writes the whole answer in the form that was asked for.
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
                .as_stream(&body, &self.context)
                .map(Body::Events)
                .map_err(|error| Error::new(Code::UpstreamProtocol, error.to_string())),
        });
        match body {
            Ok(body) => Reply { head: self.head, body },
            Err(error) => error_reply(self.head, &error),
        }
    }
}

/// The output of a future that ends before the deadline, where there is one.
async fn within<T>(deadline: Option<Instant>, coming: impl Future<Output = T>) -> Option<T> {
    match deadline {
        Some(deadline) => timeout_at(deadline, coming).await.ok(),
        None => Some(coming.await),
    }
}

/// A stream's bytes as one whole answer; the stream's own error where it ended in one.
fn whole_of(bytes: Bytes, dialect: DialectId, context: &AnswerContext) -> Result<Bytes, Error> {
    let mut tap = dialect.codec().tap(true);
    let events = events_of(bytes);
    for event in &events {
        if let Chunk::Failed(data) = tap.observe(event) {
            return Err(Error::new(Code::UpstreamProtocol, message_of(&data)));
        }
    }
    let whole = dialect.codec().as_whole(&events, context);
    whole.map_err(|error| Error::new(Code::UpstreamProtocol, error.to_string()))
}

/// A stream that follows a running one.
struct FollowerStream {
    follower: Follower<Departure>,
    decoder: Decoder,
    dialect: DialectId,
    tap: Box<dyn Tap>,
    /// Bytes that may be the last, until the call is settled.
    held: BytesMut,
    meter: Option<Meter>,
    deadline: Option<Instant>,
    over: bool,
}

impl FollowerStream {
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
                    Some(Err(error)) => return Some(self.fail(&error).await),
                    None if self.tap.may_end_here() => return Some(self.arrive(Bytes::new()).await),
                    None => return Some(self.fail(&error_of(&Aborted::Lost)).await),
                },
                Err(error) => return Some(self.fail(&Error::new(Code::UpstreamProtocol, error.to_string())).await),
            }
        }
        None
    }

    async fn wait(&mut self) -> Option<Result<Bytes, Error>> {
        let began = Instant::now();
        let next = match within(self.deadline, self.follower.next()).await {
            Some(next) => next.map(|chunk| chunk.map_err(|aborted| error_of(&aborted))),
            None => Some(Err(timed_out())),
        };
        if let Some(meter) = &mut self.meter {
            meter.waited(began.elapsed());
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
