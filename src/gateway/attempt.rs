//! The attempts of one call: the planned targets in turn, each retried where that is worth it, until one begins to answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::answer::{Answered, Served, read};
use super::incoming::{Endpoint, Incoming};
use super::meter::{Ended, Meter};
use super::repair::Wanted;
use super::reply::Repair;
use super::request::Request;
use super::state::{Live, Parts};
use super::upstream_request::UpstreamRequest;
use crate::chat::{Code, Error};
use crate::routing::{Fault, Plan, Target, backoff};
use crate::types::now;
use crate::upstream::{Call, Failure, Operation, Phase, ProviderClient};
use crate::usage::Status;
use crate::wire::openai_embeddings::{self, Encoding};

/// The longest wait for a rate-limited target while another could be asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// The longest wait for a rate-limited target where there is no other.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

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

    /// Notes a failure with the target's health, and decides what to do.
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
            read(answer, (self.request, self.incoming), upstream_request, client).await
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
}

fn fault_of(failure: &Failure) -> Option<Fault> {
    match failure {
        Failure::Throttled { retry_after, .. } => Some(Fault::Throttled { retry_after: *retry_after }),
        failure if failure.is_targets_fault() => Some(Fault::Broken),
        _ => None,
    }
}
