//! The attempts of one call: the planned targets in turn, each retried where that is worth it, until one begins to answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::{Instant, sleep, timeout_at};

use super::feed::message_of;
use super::meter::{Ended, Meter};
use super::plan::{Outgoing, Work};
use super::{Api, Ask, Live, Parts, pass};
use crate::chat::{Code, Emulated, Error, Stop, Usage, Used};
use crate::routing::{Fault, Plan, Target, backoff};
use crate::types::now;
use crate::upstream::{Answer, Call, Endpoint, Failure, Operation, Phase};
use crate::usage::Status;
use crate::wire::dialect::{BadAnswer, Listened};
use crate::wire::openai_embeddings::Encoding;
use crate::wire::sse::{Decoder, Event};
use crate::wire::{Speaks, anthropic, gemini, openai_embeddings};

/// The longest whole answer.
pub const MAX_WHOLE: usize = 64 << 20;

/// The longest wait for a rate-limited target while another could be asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest wait for a rate-limited target where there is no other.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// A target that began to answer.
pub struct Served {
    /// Who.
    pub target: Arc<Target>,
    /// How.
    pub answer: Answered,
    /// What had to be emulated for it.
    pub emulated: Emulated,
}

/// An answer, as far as it is known when nothing can be retried any more.
pub enum Answered {
    /// All of it.
    Whole {
        /// The body.
        body: Bytes,
        /// What it used.
        used: Used,
        /// Whether it ended well, so that it may be kept.
        ended_well: bool,
        /// Its `content-type`, where it is not JSON.
        kind: Option<HeaderValue>,
    },
    /// Bytes that only pass, such as audio, of which the first are there.
    Bytes {
        /// Their `content-type`.
        kind: HeaderValue,
        /// The rest of them.
        answer: Box<Answer>,
        /// The first.
        first: Bytes,
    },
    /// A stream whose first event is there.
    Stream {
        /// The dialect it comes in.
        speaks: Speaks,
        /// The rest of it.
        answer: Box<Answer>,
        /// What was read so far, with the first event taken out.
        decoder: Decoder,
        /// The first event.
        first: Event,
    },
}

/// The attempts of one call.
pub struct Attempts<'a> {
    /// What outlives reloads.
    pub parts: &'a Parts,
    /// The configuration.
    pub live: &'a Live,
    /// Who asks.
    pub ask: &'a Ask,
    /// What is asked.
    pub work: &'a Work,
    /// Whom to ask, in order.
    pub plan: &'a Plan,
    /// The caller's own limit.
    pub deadline: Option<Instant>,
}

/// One target of the plan.
#[derive(Clone, Copy)]
struct There<'a> {
    target: &'a Arc<Target>,
    endpoint: &'a Endpoint,
    is_last: bool,
}

/// What to do after a failure.
enum Next {
    Again(Duration),
    Onward,
    GiveUp,
}

impl Attempts<'_> {
    /// Makes attempts until one answers.
    ///
    /// # Errors
    /// The last failure, where none does.
    pub async fn run(&self, meter: &mut Meter) -> Result<Served, Error> {
        let mut last = None;
        for (place, target) in self.plan.targets.iter().enumerate() {
            let Some(endpoint) = self.live.endpoints.get(&target.provider) else { continue };
            if self.plan.local_only && !endpoint.provider().local {
                continue;
            }
            // What cannot be said to one target may be said to the next.
            let outgoing = match self.work.for_target(self.ask, endpoint, target) {
                Ok(outgoing) => outgoing,
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            };
            if !self.parts.health.enter(target, now()) {
                continue;
            }
            self.parts.health.called(&target.provider, now());
            let is_last = place + 1 == self.plan.targets.len();
            let emulated = outgoing.emulated.clone();
            let there = There { target, endpoint, is_last };
            match self.ask(&there, outgoing, meter).await? {
                Ok(answer) => return Ok(Served { target: target.clone(), answer, emulated }),
                Err(failure) => {
                    let give_up = !failure.is_retryable() && !matches!(failure, Failure::Auth { .. });
                    last = Some(failure.into_error(&target.name));
                    if give_up {
                        break;
                    }
                }
            }
        }
        let retried = meter.attempts() > 1;
        let cooling = || Error {
            retry_after: Some(PATIENCE),
            ..Error::new(Code::AllTargetsCooling, "every target of this call is cooling after failures")
        };
        Err(Error { retried, ..last.unwrap_or_else(cooling) })
    }

    /// Asks one target, again where that is worth it.
    async fn ask(
        &self,
        there: &There<'_>,
        mut outgoing: Outgoing,
        meter: &mut Meter,
    ) -> Result<Result<Answered, Failure>, Error> {
        let There { target, endpoint, is_last } = *there;
        let mut retries = 0;
        loop {
            let failure = match self.once(there, &outgoing, meter).await? {
                Ok(answer) => {
                    self.parts.health.succeeded(target, now());
                    return Ok(Ok(answer));
                }
                Err(failure) => failure,
            };
            if outgoing.operation == Operation::Responses
                && endpoint.provider().chat
                && matches!(failure.status(), Some(404 | 405 | 501))
                && endpoint.has_responses()
            {
                endpoint.lacks_responses();
                outgoing = self.work.for_target(self.ask, endpoint, target)?;
                continue;
            }
            if self.refuses_base64(&failure) && endpoint.has_base64() {
                endpoint.lacks_base64();
                outgoing = self.work.for_target(self.ask, endpoint, target)?;
                continue;
            }
            match self.next(target, &failure, is_last, retries) {
                Next::Again(wait) if self.fits(wait) => {
                    retries += 1;
                    let began = Instant::now();
                    sleep(wait).await;
                    meter.waited(began.elapsed());
                }
                Next::Again(_) | Next::Onward | Next::GiveUp => return Ok(Err(failure)),
            }
        }
    }

    /// Whether a target refused the form in which a caller wants its vectors: we can put them into it ourselves.
    fn refuses_base64(&self, failure: &Failure) -> bool {
        let Failure::Refused { status: 400 | 422, error } = failure else { return false };
        let names = |text: &str| text.contains("encoding_format") || text.contains("base64");
        self.work.api == Api::Embeddings
            && openai_embeddings::encoding(self.work.object()) == Encoding::Base64
            && (names(&error.message) || error.param.as_deref().is_some_and(names))
    }

    /// Tells the target's health of a failure, and decides what to do.
    fn next(&self, target: &Target, failure: &Failure, is_last: bool, retries: u32) -> Next {
        let health = &self.parts.health;
        // A provider that lacks a route is not unwell: its models may answer other calls.
        let lacks_route = self.work.passes() && failure.status() == Some(501);
        if lacks_route {
            health.abandoned(target, now());
            return Next::Onward;
        }
        match fault_of(failure) {
            Some(fault) => health.failed(target, fault, now(), rand::random()),
            None => health.abandoned(target, now()),
        }
        if let Failure::Auth { another_key: true, .. } = failure {
            return Next::Again(Duration::ZERO);
        }
        let wait = match failure {
            Failure::Throttled { retry_after: Some(wait), .. } => {
                let patience = if is_last { LAST_PATIENCE } else { PATIENCE };
                if *wait > patience {
                    return Next::Onward;
                }
                *wait
            }
            Failure::Connect(_) | Failure::Protocol(_) | Failure::Server { .. } | Failure::TimedOut(Phase::Connect) => {
                backoff(retries + 1, rand::random())
            }
            failure if failure.is_retryable() => return Next::Onward,
            _ => return Next::GiveUp,
        };
        let may = retries < self.plan.retries && health.may_retry(&target.provider, now());
        if may { Next::Again(wait) } else { Next::Onward }
    }

    fn fits(&self, wait: Duration) -> bool {
        self.deadline.is_none_or(|deadline| Instant::now() + wait < deadline)
    }

    /// One attempt: its intent, the call, and its row where it failed.
    async fn once(
        &self,
        there: &There<'_>,
        outgoing: &Outgoing,
        meter: &mut Meter,
    ) -> Result<Result<Answered, Failure>, Error> {
        let There { target, endpoint, .. } = *there;
        let pricing = self.live.pricing(endpoint.provider(), target);
        meter.attempt_begins(target, pricing, self.work.reserve())?;
        let call = Call {
            operation: outgoing.operation,
            model: &target.model,
            stream: self.work.asked.stream,
            headers: outgoing.headers.clone(),
            body: outgoing.body.clone(),
            deadline: self.deadline,
        };
        let answered = async {
            let answer = endpoint.send(call).await?;
            meter.first_byte();
            self.read(answer, outgoing.speaks, endpoint).await
        };
        let closing = self.parts.closing.cancelled();
        let outcome = tokio::select! {
            biased;
            outcome = answered => outcome,
            () = closing => Err(Failure::Closing),
        };
        if let Err(failure) = &outcome {
            self.note_failure(failure, meter);
        }
        Ok(outcome)
    }

    fn note_failure(&self, failure: &Failure, meter: &mut Meter) {
        let charged = failure.may_be_charged();
        meter.attempt_ends(&Ended {
            status: if charged { Status::Unknown } else { Status::Error },
            http_status: failure.status(),
            error: Some(failure.code()),
            retryable: failure.is_retryable(),
            used: charged.then(|| meter.estimate()).flatten(),
        });
    }

    /// Reads an answer as far as it must be known before nothing can be retried any more.
    async fn read(&self, mut answer: Answer, speaks: Speaks, endpoint: &Endpoint) -> Result<Answered, Failure> {
        if answer.is_stream() {
            return self.read_first(answer, speaks).await;
        }
        if let Api::Pass(passing) = self.work.api {
            return pass::read(passing, self.work, answer, endpoint).await;
        }
        let body = answer.whole(MAX_WHOLE).await?;
        let (body, heard) = self.hear(body, speaks, endpoint).map_err(|BadAnswer(reason)| Failure::Protocol(reason))?;
        let estimate = || Usage {
            input: self.work.input_tokens(),
            output: u64::try_from(heard.choice_bytes / 4).unwrap_or(u64::MAX),
            estimated: true,
            ..Usage::default()
        };
        let used = heard.usage.unwrap_or_else(estimate).into();
        Ok(Answered::Whole { body, used, ended_well: heard.ended_well, kind: None })
    }

    /// A whole answer in the caller's dialect, and what it told.
    fn hear(&self, body: Bytes, speaks: Speaks, endpoint: &Endpoint) -> Result<(Bytes, Listened), BadAnswer> {
        match self.work.api {
            Api::Embeddings | Api::EmbedContent | Api::EmbedContents => {
                let (body, usage) = self.work.vectors(body, speaks)?;
                return Ok((body, Listened { usage, choice_bytes: 0, ended_well: true }));
            }
            Api::GeminiCount if !gemini::counts(&body) => return Err(BadAnswer("it counts no tokens".to_owned())),
            Api::GeminiCount => {
                let none = Listened { usage: Some(Usage::default()), choice_bytes: 0, ended_well: true };
                return Ok((body, none));
            }
            Api::CountTokens => {
                let counted = anthropic::read_count(&body).is_some();
                let none = Listened { usage: Some(Usage::default()), choice_bytes: 0, ended_well: true };
                return if counted { Ok((body, none)) } else { Err(BadAnswer("it counts no tokens".to_owned())) };
            }
            _ => {}
        }
        let own = self.work.api.speaks();
        let counted = |usage: Option<Usage>| usage.map(|usage| self.work.usage_of(endpoint, &body, usage));
        if own == speaks {
            let heard = own.dialect().listen(&body)?;
            let heard = Listened { usage: counted(heard.usage), ..heard };
            return Ok((body, heard));
        }
        let response = speaks.dialect().read_response(&body)?;
        let good =
            |stop: &Option<Stop>| matches!(stop, Some(Stop::End | Stop::Sequence(_) | Stop::Length | Stop::Tools));
        let ended_well = !response.choices.is_empty() && response.choices.iter().all(|choice| good(&choice.stop));
        let heard = Listened { usage: counted(response.usage), choice_bytes: body.len(), ended_well };
        Ok((own.dialect().write_response(&response, &self.work.told(self.ask)), heard))
    }

    async fn read_first(&self, mut answer: Answer, speaks: Speaks) -> Result<Answered, Failure> {
        if !self.work.asked.stream {
            return Err(Failure::Protocol("it is a stream, which was not asked for".to_owned()));
        }
        let mut decoder = Decoder::default();
        loop {
            match decoder.event() {
                Ok(Some(event)) if event.data().is_some() => {
                    return match early_error(&event, &answer) {
                        Some(failure) => Err(failure),
                        None => Ok(Answered::Stream { speaks, answer: Box::new(answer), decoder, first: event }),
                    };
                }
                Ok(Some(_comment)) => {}
                Ok(None) => match answer.piece().await? {
                    Some(piece) => decoder.push(piece),
                    None => return Err(Failure::Protocol("the stream ended before it began".to_owned())),
                },
                Err(error) => return Err(Failure::Protocol(error.to_string())),
            }
        }
    }
}

/// An error that stands where the first chunk should: nothing went down yet, so another try may do better.
fn early_error(event: &Event, answer: &Answer) -> Option<Failure> {
    let data = event.data()?;
    memchr::memmem::find(&data, b"\"error\"")?;
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&data).ok()?;
    let told = fields.get("error").is_some_and(|error| !error.is_null());
    let named = fields.get("type").is_some_and(|kind| kind == "error");
    let message = answer.scrubbed(&message_of(&data));
    (told || named).then_some(Failure::Server { status: 200, message })
}

fn fault_of(failure: &Failure) -> Option<Fault> {
    match failure {
        Failure::Throttled { retry_after, .. } => Some(Fault::Throttled { retry_after: *retry_after }),
        failure if failure.is_targets_fault() => Some(Fault::Broken),
        _ => None,
    }
}

/// What is left of an answer after its last event, read so that its connection can be used again.
pub async fn drain(mut answer: Box<Answer>) {
    let limit = Instant::now() + Duration::from_secs(1);
    while let Ok(Ok(Some(_rest))) = timeout_at(limit, answer.piece()).await {}
}
