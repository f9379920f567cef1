//! The attempts of one call: the planned targets in turn, each retried where that is worth it, until one begins to answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::{Instant, sleep, timeout_at};

use super::feed::message_of;
use super::meter::{Ended, Meter};
use super::plan::{Request, UpstreamRequest};
use super::repair::Wanted;
use super::reply::Repair;
use super::{Endpoint, Incoming, Live, Parts, pass};
use crate::chat::{self, AnswerTool, Code, Emulated, Error, Stop, Usage, Used};
use crate::routing::{Fault, Plan, Target, backoff};
use crate::types::now;
use crate::upstream::{Answer, Call, Failure, Operation, Phase, ProviderClient};
use crate::usage::Status;
use crate::wire::decoder::Decoder;
use crate::wire::dialect::{BadAnswer, Observed};
use crate::wire::openai_embeddings::Encoding;
use crate::wire::sse::Event;
use crate::wire::{ProviderDialect, anthropic, gemini, openai_embeddings};

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
    /// What became of an answer that was not of the form asked for.
    pub repair: Option<Repair>,
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
        dialect: ProviderDialect,
        /// The tool by which it answers.
        answer_tool: Option<AnswerTool>,
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
    pub incoming: &'a Incoming,
    /// What is asked.
    pub request: &'a Request,
    /// Whom to ask, in order.
    pub plan: &'a Plan,
    /// The caller's own limit.
    pub deadline: Option<Instant>,
}

/// One target of the plan.
#[derive(Clone, Copy)]
struct There<'a> {
    target: &'a Arc<Target>,
    client: &'a ProviderClient,
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
            let Some(client) = self.live.clients.get(&target.provider) else { continue };
            if self.plan.local_only && !client.provider().local {
                continue;
            }
            // What cannot be said to one target may be said to the next.
            let upstream_request = match self.request.for_target(self.incoming, client, target) {
                Ok(upstream_request) => upstream_request,
                Err(error) => {
                    last = Some(error);
                    continue;
                }
            };
            let at = now();
            if !self.parts.health.enter(target, at) {
                continue;
            }
            self.parts.health.called(&target.provider, at);
            let is_last = place + 1 == self.plan.targets.len();
            let emulated = upstream_request.emulated.clone();
            let there = There { target, client, is_last };
            match self.ask(&there, upstream_request, meter).await? {
                Ok(answer) => {
                    let (answer, repair) = self.repaired(&there, answer, meter).await?;
                    return Ok(Served { target: target.clone(), answer, emulated, repair });
                }
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
        mut upstream_request: UpstreamRequest,
        meter: &mut Meter,
    ) -> Result<Result<Answered, Failure>, Error> {
        let There { target, client, is_last } = *there;
        let mut retries = 0;
        loop {
            let failure = match self.once(there, &upstream_request, meter).await? {
                Ok(answer) => {
                    self.parts.health.succeeded(target, now());
                    return Ok(Ok(answer));
                }
                Err(failure) => failure,
            };
            if upstream_request.operation == Operation::Responses
                && client.provider().chat
                && matches!(failure.status(), Some(404 | 405 | 501))
                && client.has_responses()
            {
                client.lacks_responses();
                upstream_request = self.request.for_target(self.incoming, client, target)?;
                continue;
            }
            if self.refuses_base64(&failure) && client.has_base64() {
                client.lacks_base64();
                upstream_request = self.request.for_target(self.incoming, client, target)?;
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
        self.request.endpoint == Endpoint::Embeddings
            && openai_embeddings::encoding(self.request.object()) == Encoding::Base64
            && (names(&error.message) || error.param.as_deref().is_some_and(names))
    }

    /// The answer, or a second one where it was to be JSON and is not, and the route wants it repaired. A second answer
    /// that is no better goes down all the same; where none came, the first does.
    async fn repaired(
        &self,
        there: &There<'_>,
        first: Answered,
        meter: &mut Meter,
    ) -> Result<(Answered, Option<Repair>), Error> {
        let Some(wanted) = self.plan.repair.then(|| Wanted::of(self.request)).flatten() else {
            return Ok((first, None));
        };
        let Answered::Whole { body, used, ended_well, kind } = first else { return Ok((first, None)) };
        let Some(flaw) = wanted.flaw(&body) else {
            return Ok((Answered::Whole { body, used, ended_well, kind }, None));
        };
        meter.attempt_ends(&Ended::invalid(used));
        let failed =
            |body, used| Ok((Answered::Whole { body, used, ended_well: false, kind: None }, Some(Repair::Failed)));
        let again = flaw.is_worth_asking && self.fits(Duration::ZERO);
        let Some(request) = again.then(|| self.request.once_more(&flaw).ok()).flatten() else {
            return failed(body, used);
        };
        let Ok(upstream_request) = request.for_target(self.incoming, there.client, there.target) else {
            return failed(body, used);
        };
        let second = Attempts { request: &request, ..*self }.once(there, &upstream_request, meter).await?;
        match second {
            Ok(Answered::Whole { body, used, ended_well, kind }) => {
                self.parts.health.succeeded(there.target, now());
                if wanted.flaw(&body).is_none() {
                    return Ok((Answered::Whole { body, used, ended_well, kind }, Some(Repair::Repaired)));
                }
                meter.attempt_ends(&Ended::invalid(used));
                failed(body, used)
            }
            Ok(Answered::Stream { .. } | Answered::Bytes { .. }) => failed(body, used),
            Err(failure) => {
                self.note_health(there.target, &failure);
                failed(body, used)
            }
        }
    }

    /// Tells the target's health of a failure, and decides what to do.
    fn next(&self, target: &Target, failure: &Failure, is_last: bool, retries: u32) -> Next {
        let health = &self.parts.health;
        // A provider that lacks a route is not unwell: its models may answer other calls.
        if self.request.passes() && failure.status() == Some(501) {
            health.abandoned(target, now());
            return Next::Onward;
        }
        self.note_health(target, failure);
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

    fn note_health(&self, target: &Target, failure: &Failure) {
        match fault_of(failure) {
            Some(fault) => self.parts.health.failed(target, fault, now(), rand::random()),
            None => self.parts.health.abandoned(target, now()),
        }
    }

    fn fits(&self, wait: Duration) -> bool {
        self.deadline.is_none_or(|deadline| Instant::now() + wait < deadline)
    }

    /// One attempt: its intent, the call, and its row where it failed.
    async fn once(
        &self,
        there: &There<'_>,
        upstream_request: &UpstreamRequest,
        meter: &mut Meter,
    ) -> Result<Result<Answered, Failure>, Error> {
        let There { target, client, .. } = *there;
        let pricing = self.live.pricing(client.provider(), target);
        meter.attempt_begins(target, pricing, self.request.reserve()).await?;
        let call = Call {
            operation: upstream_request.operation,
            model: &target.model,
            stream: self.request.asked.stream,
            headers: upstream_request.headers.clone(),
            body: upstream_request.body.clone(),
            deadline: self.deadline,
            background: self.incoming.background,
        };
        let answered = async {
            let answer = client.send(call).await?;
            meter.first_byte();
            self.read(answer, upstream_request, client).await
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
    async fn read(
        &self,
        mut answer: Answer,
        upstream_request: &UpstreamRequest,
        client: &ProviderClient,
    ) -> Result<Answered, Failure> {
        if answer.is_stream() {
            return self.read_first(answer, upstream_request).await;
        }
        if let Endpoint::Pass(passing) = self.request.endpoint {
            return pass::read(passing, self.request, answer, client).await;
        }
        let body = answer.whole(MAX_WHOLE).await?;
        let (body, observed) =
            self.observe(body, upstream_request, client).map_err(|BadAnswer(reason)| Failure::Protocol(reason))?;
        let estimate = || Usage {
            input: self.request.input_tokens(),
            output: u64::try_from(observed.choice_bytes / 4).unwrap_or(u64::MAX),
            estimated: true,
            ..Usage::default()
        };
        let used = observed.usage.unwrap_or_else(estimate).into();
        Ok(Answered::Whole { body, used, ended_well: observed.ended_well, kind: None })
    }

    /// A whole answer in the caller's dialect, and what it told.
    fn observe(
        &self,
        body: Bytes,
        upstream_request: &UpstreamRequest,
        client: &ProviderClient,
    ) -> Result<(Bytes, Observed), BadAnswer> {
        let UpstreamRequest { dialect, answer_tool, .. } = upstream_request;
        let dialect = *dialect;
        match self.request.endpoint {
            Endpoint::Embeddings | Endpoint::EmbedContent | Endpoint::EmbedContents => {
                let (body, usage) = self.request.vectors(body, dialect)?;
                return Ok((body, Observed { usage, choice_bytes: 0, ended_well: true }));
            }
            Endpoint::GeminiCount if !gemini::counts(&body) => return Err(BadAnswer("it counts no tokens".to_owned())),
            Endpoint::GeminiCount => {
                let none = Observed { usage: Some(Usage::default()), choice_bytes: 0, ended_well: true };
                return Ok((body, none));
            }
            Endpoint::CountTokens => {
                let counted = anthropic::read_count(&body).is_some();
                let none = Observed { usage: Some(Usage::default()), choice_bytes: 0, ended_well: true };
                return if counted { Ok((body, none)) } else { Err(BadAnswer("it counts no tokens".to_owned())) };
            }
            _ => {}
        }
        let own = self.request.endpoint.dialect();
        let counted = |usage: Option<Usage>| usage.map(|usage| self.request.usage_of(client, &body, usage));
        if dialect == own.into() && answer_tool.is_none() {
            let observed = own.codec().observe(&body)?;
            let observed = Observed { usage: counted(observed.usage), ..observed };
            return Ok((body, observed));
        }
        let mut response = dialect.codec().read_response(&body)?;
        if let Some(tool) = answer_tool {
            response = tool.unwrap(response);
        }
        let good =
            |stop: &Option<Stop>| matches!(stop, Some(Stop::End | Stop::Sequence(_) | Stop::Length | Stop::Tools));
        if dialect != own.into() {
            dialect.codec().maker().mark_answer(&mut response);
        }
        let ended_well = !response.choices.is_empty() && response.choices.iter().all(|choice| good(&choice.stop));
        own.codec().can_tell(&response)?;
        let observed = Observed { usage: counted(response.usage), choice_bytes: body.len(), ended_well };
        Ok((own.codec().write_response(&response, &self.request.told(self.incoming)), observed))
    }

    async fn read_first(&self, mut answer: Answer, upstream_request: &UpstreamRequest) -> Result<Answered, Failure> {
        let dialect = upstream_request.dialect;
        if !self.request.asked.stream {
            return Err(Failure::Protocol("it is a stream, which was not asked for".to_owned()));
        }
        let mut decoder = dialect.codec().decoder();
        loop {
            match decoder.event() {
                Ok(Some(event)) if event.data().is_some() => {
                    return match early_error(&event, &answer, dialect) {
                        Some(failure) => Err(failure),
                        None => Ok(Answered::Stream {
                            dialect: upstream_request.dialect,
                            answer_tool: upstream_request.answer_tool.clone(),
                            answer: Box::new(answer),
                            decoder,
                            first: event,
                        }),
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
fn early_error(event: &Event, answer: &Answer, dialect: ProviderDialect) -> Option<Failure> {
    let data = event.data()?;
    memchr::memmem::find(&data, b"\"error\"")?;
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&data).ok()?;
    let told = fields.get("error").is_some_and(|error| !error.is_null());
    let named = fields.get("type").is_some_and(|kind| kind == "error");
    if !told && !named {
        return None;
    }
    let message = answer.scrubbed(&message_of(&data));
    let mut meant = Vec::new();
    let read = dialect.codec().stream_reader().read(event, &mut meant);
    Some(match (read, meant.pop()) {
        (Ok(()), Some(chat::Event::Failed(error))) if error.code == Code::UpstreamRateLimited => {
            Failure::Throttled { retry_after: None, message }
        }
        (Ok(()), Some(chat::Event::Failed(error))) if error.code == Code::InvalidRequest => {
            Failure::Refused { status: 200, error: Box::new(Error { message, upstream_code: None, ..error }) }
        }
        _ => Failure::Server { status: 200, message },
    })
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
