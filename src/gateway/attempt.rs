//! The attempts of one call: the planned targets in turn, each retried where that is worth it, until one begins to answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout_at};

use super::meter::{Ended, Meter};
use super::plan::Work;
use super::{Api, Live, Parts};
use crate::chat::{Code, Error, Usage};
use crate::routing::{Fault, Plan, Target, backoff};
use crate::types::now;
use crate::upstream::{Answer, Call, Endpoint, Failure, Phase};
use crate::usage::Status;
use crate::wire::sse::{Decoder, Event};
use crate::wire::{openai_chat, openai_embeddings};

/// The longest whole answer.
const MAX_WHOLE: usize = 64 << 20;

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
}

/// An answer, as far as it is known when nothing can be retried any more.
pub enum Answered {
    /// All of it.
    Whole {
        /// The body.
        body: Bytes,
        /// Its tokens.
        usage: Usage,
        /// Whether it ended well, so that it may be kept.
        ended_well: bool,
    },
    /// A stream whose first event is there.
    Stream {
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
    /// What is asked.
    pub work: &'a Work,
    /// Whom to ask, in order.
    pub plan: &'a Plan,
    /// The caller's own limit.
    pub deadline: Option<Instant>,
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
            if !self.parts.health.enter(target, now()) {
                continue;
            }
            self.parts.health.called(&target.provider, now());
            let is_last = place + 1 == self.plan.targets.len();
            match self.ask(target, endpoint, is_last, meter).await? {
                Ok(answer) => return Ok(Served { target: target.clone(), answer }),
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
        target: &Arc<Target>,
        endpoint: &Endpoint,
        is_last: bool,
        meter: &mut Meter,
    ) -> Result<Result<Answered, Failure>, Error> {
        let mut retries = 0;
        loop {
            let failure = match self.once(target, endpoint, meter).await? {
                Ok(answer) => {
                    self.parts.health.succeeded(target, now());
                    return Ok(Ok(answer));
                }
                Err(failure) => failure,
            };
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

    /// Tells the target's health of a failure, and decides what to do.
    fn next(&self, target: &Target, failure: &Failure, is_last: bool, retries: u32) -> Next {
        let health = &self.parts.health;
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
        target: &Target,
        endpoint: &Endpoint,
        meter: &mut Meter,
    ) -> Result<Result<Answered, Failure>, Error> {
        let pricing = self.live.pricing(endpoint.provider(), target);
        meter.attempt_begins(target, pricing, self.work.reserve())?;
        let call = Call { path: self.work.api.path(), body: self.work.body_for(target), deadline: self.deadline };
        let answered = async {
            let answer = endpoint.send(call).await?;
            meter.first_byte();
            self.read(answer).await
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
            usage: charged.then(|| meter.estimate()).flatten(),
        });
    }

    /// Reads an answer as far as it must be known before nothing can be retried any more.
    async fn read(&self, mut answer: Answer) -> Result<Answered, Failure> {
        if answer.is_stream() {
            return self.read_first(answer).await;
        }
        let body = answer.whole(MAX_WHOLE).await?;
        let estimate = |output| Usage { input: self.work.input_tokens(), output, estimated: true, ..Usage::default() };
        let bad = |bad: openai_chat::BadAnswer| Failure::Protocol(bad.to_string());
        if self.work.api == Api::Embeddings {
            let usage = openai_embeddings::listen(&body).map_err(bad)?.unwrap_or_else(|| estimate(0));
            return Ok(Answered::Whole { body, usage, ended_well: true });
        }
        let heard = openai_chat::listen(&body).map_err(bad)?;
        let output = u64::try_from(heard.choice_bytes / 4).unwrap_or(u64::MAX);
        let usage = heard.usage.unwrap_or_else(|| estimate(output));
        Ok(Answered::Whole { body, usage, ended_well: heard.ended_well })
    }

    async fn read_first(&self, mut answer: Answer) -> Result<Answered, Failure> {
        if !self.work.stream {
            return Err(Failure::Protocol("it is a stream, which was not asked for".to_owned()));
        }
        let mut decoder = Decoder::default();
        loop {
            match decoder.event() {
                Ok(Some(event)) if event.data().is_some() => {
                    return match early_error(&event, &answer) {
                        Some(failure) => Err(failure),
                        None => Ok(Answered::Stream { answer: Box::new(answer), decoder, first: event }),
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
    let error = fields.get("error").filter(|error| !error.is_null())?;
    let message = error.get("message").and_then(|message| message.as_str()).unwrap_or("it sent an error");
    Some(Failure::Server { status: 200, message: answer.scrubbed(message) })
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
