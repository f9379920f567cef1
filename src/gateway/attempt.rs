//! The attempt phase: does what the strategy of a call says, until an answer goes down or the last failure does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::answer::{AnswerRoom, Answered, Served, read};
use super::aside::{LARGE, aside};
use super::beginning::Beginning;
use super::check::Check;
use super::cooling::all_cooling;
use super::fault::{fault_of, lacks_other_route};
use super::incoming::Incoming;
use super::meter::Meter;
use super::open_attempt::Ended;
use super::pace::Pace;
use super::probe::Probe;
use super::rendering::Rendering;
use super::repair::{Misfit, Verdict, Wanted};
use super::reply::Repair;
use super::request::Request;
use super::reserve::Attempt;
use super::state::{Live, Parts};
use super::target_log::Met;
use super::unanswered::Unanswered;
use super::upstream_request::UpstreamRequest;
use crate::chat::Error;
use crate::routing::{
    Asking, At, ByCause, CascadeStep, Cascading, Cause, Entry, Failing, Hedged, InTurn, Outcome, Plan, Repaired, Step,
    Strategy, Target,
};
use crate::types::{Timestamp, now};
use crate::upstream::{Call, Failure, Operation, Phase, ProviderClient};
use crate::usage::{Role, Status};
use crate::wire::DialectId;
use crate::wire::endpoint::{Endpoint, Task};
use crate::wire::openai_embeddings::{self, Encoding};

/// The attempts of one call.
pub struct Attempts<'a> {
    /// What stays over a reload.
    pub parts: &'a Parts,
    /// The configuration.
    pub live: &'a Arc<Live>,
    /// The request as it arrived.
    pub incoming: &'a Incoming,
    /// The request as it was prepared.
    pub request: &'a Request,
    /// The targets, in order.
    pub plan: &'a Plan,
    /// The caller's own limit.
    pub deadline: Option<Instant>,
}

/// What the steps so far have brought.
#[derive(Default)]
pub(super) struct Progress<'a> {
    pub(super) turn: Option<Turn<'a>>,
    /// The last failure.
    pub(super) failure: Option<Error>,
    /// The first refusal for a cause that has targets: it is the caller's own, whatever becomes of those.
    pub(super) refused: Option<Error>,
    /// The last answer.
    pub(super) answer: Option<(Attempt, Answered)>,
    /// The last answer of a cascade that was not accepted.
    pub(super) kept: Option<Box<Served>>,
    /// What became of each answer of a cascade.
    pub(super) steps: Vec<CascadeStep>,
    /// What the attempts are for.
    pub(super) role: Option<Role>,
    /// Whether a second target was asked beside another, and how that at this place ended.
    pub(super) hedged: Option<Hedged>,
    /// The form that the answer must have, and what is wrong with the last one.
    pub(super) misfit: Option<(Wanted, Misfit)>,
    pub(super) repair: Option<Repair>,
    /// The first answer that a filter ended, and whose it is.
    pub(super) filtered: Option<Box<(Turn<'a>, Attempt, Answered)>>,
    /// Whether the estimate has said that a request is too long.
    pub(super) is_estimated: bool,
}

/// The target that is asked.
pub(super) struct Turn<'a> {
    pub(super) place: usize,
    pub(super) target: &'a Arc<Target>,
    pub(super) client: &'a Arc<ProviderClient>,
    /// The request with what is chosen of its prompt for this target.
    pub(super) rendering: Arc<Rendering>,
    /// What goes out, which may be another form of it.
    pub(super) upstream_request: UpstreamRequest,
    /// When its last attempt began.
    pub(super) began: Timestamp,
    /// That the target is probed by this call.
    pub(super) _probe: Option<Probe<'a>>,
    /// What its attempts are for.
    pub(super) role: Option<Role>,
    /// How its answer is looked at, in a cascade.
    pub(super) check: Option<Box<Check<'a>>>,
    /// Whether another's attempt stands for this one where the target's health is noted.
    pub(super) is_anothers: AtomicBool,
}

impl<'a> Attempts<'a> {
    /// Makes attempts until one answers.
    ///
    /// # Errors
    /// The last failure, where none does.
    pub async fn run(&self, meter: &Meter) -> Result<Served, Error> {
        let Plan { targets, retries, causes, .. } = self.plan;
        let health = &self.parts.health;
        let in_turn = InTurn::new(targets, *retries, health);
        let by_cause = ByCause::new(in_turn, targets, causes.as_deref(), (*retries, health));
        let mut strategy = Repaired::new(Cascading::new(by_cause));
        let mut progress = Progress::default();
        let mut step = strategy.first();
        let mut is_forced = false;
        loop {
            let outcome = match step {
                Step::Try { place, after } => {
                    wait(after, meter).await;
                    match &self.plan.hedge {
                        None => self.ask((place, false), &mut progress, meter).await?,
                        Some(hedge) => Box::pin(self.ask_hedged(hedge, place, &mut progress, meter)).await?,
                    }
                }
                Step::AskAgain => Box::pin(self.ask_again(&mut progress, meter)).await?,
                Step::Accept => match progress.served(meter) {
                    Ok(served) => return Ok(served),
                    Err(failure) => return Err(failed(failure.unwrap_or_else(|| self.cooling()), meter)),
                },
                Step::GiveUp if progress.is_untouched() && !is_forced => {
                    is_forced = true;
                    // Apart, since a future has room for the largest that it may wait for.
                    Box::pin(self.force(&mut progress, meter)).await.map_err(|error| failed(error, meter))?
                }
                Step::GiveUp => match progress.filtered(meter) {
                    Ok(served) => return Ok(served),
                    Err(failure) => return Err(failed(failure.unwrap_or_else(|| self.cooling()), meter)),
                },
            };
            step = strategy.next(outcome, self.at());
        }
    }

    /// The error of a call whose targets all cool.
    fn cooling(&self) -> Error {
        all_cooling(self.parts, self.plan, &self.incoming.key.id)
    }

    fn asking<'t>(&'t self, turn: &Turn<'t>) -> Asking<'t> {
        Asking { target: turn.target, key: &self.incoming.key.id, began: turn.began }
    }

    fn at(&self) -> At {
        let left = self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        At { now: now(), left, dice: rand::random() }
    }

    /// Asks the target at `place` of the plan.
    pub(super) async fn ask(
        &self,
        (place, is_forced): (usize, bool),
        progress: &mut Progress<'a>,
        meter: &Meter,
    ) -> Result<Outcome, Error> {
        match progress.turn.as_mut().filter(|turn| turn.place == place) {
            Some(turn) => turn.began = now(),
            None => {
                progress.turn = None;
                if !progress.is_estimated
                    && let Some(too_long) = self.too_long(place)
                {
                    progress.is_estimated = true;
                    meter.note_in_trace("too_long", &too_long);
                    return Ok(Outcome::Failed(Failing::For(Cause::ContextLength)));
                }
                self.learn(place).await;
                match self.turn(place, is_forced).await {
                    Ok(turn) => progress.turn = turn.map(|turn| Turn { role: progress.role, ..turn }),
                    // A request that one target has no words for may suit the next.
                    Err(error) => progress.failure = Some(error),
                }
            }
        }
        let Some(turn) = &mut progress.turn else { return Ok(Outcome::Unsent) };
        match self.once(turn, turn.sent(), meter).await? {
            Ok((attempt, mut answered)) => {
                match &answered {
                    Answered::Whole { .. } => self.note_answer(turn),
                    Answered::Stream { .. } | Answered::Bytes { .. } => self.note_beginning(turn),
                }
                if self.ends_filtered(turn, &attempt, &mut answered).await {
                    progress.keep_filtered(attempt, answered);
                    return Ok(Outcome::Filtered);
                }
                if self.plan.cascade.is_some() {
                    return Box::pin(self.looked_at((attempt, answered), progress, meter)).await;
                }
                Ok(self.answered(attempt, answered, progress))
            }
            Err(failure) => {
                let failing = self.failing(turn, &failure)?;
                let simulated = turn.target.simulated;
                let error = Error { simulated, ..failure.into_error(&turn.target.id) };
                if matches!(failing, Failing::For(_)) && progress.refused.is_none() {
                    progress.refused = Some(error.clone());
                }
                progress.failure = Some(error);
                Ok(Outcome::Failed(failing))
            }
        }
    }

    /// Asks the provider at `place` what must be known of it before its first call. Nearly always it is known.
    async fn learn(&self, place: usize) {
        if !self.live.asks_servers {
            return;
        }
        if let Some(target) = self.plan.at(place) {
            self.learn_of(target).await;
        }
    }

    /// The same of a target, where there is anything to be known.
    pub(super) async fn learn_of(&self, target: &Target) {
        if !self.live.asks_servers {
            return;
        }
        let client = self.live.clients.get(&target.provider);
        if let Some(client) = client.filter(|client| client.lacks_adapters()) {
            Box::pin(client.ask_adapters()).await;
        }
    }

    /// The turn of the target at `place`; `None` where that may not be asked just now.
    ///
    /// # Errors
    /// Where it has no words for the request.
    async fn turn(&self, place: usize, is_forced: bool) -> Result<Option<Turn<'a>>, Error> {
        let Some(target) = self.plan.at(place) else { return Ok(None) };
        let Some(client) = self.live.clients.get(&target.provider) else { return Ok(None) };
        if self.plan.local_only && !client.provider().local {
            return Ok(None);
        }
        let rendering = self.request.rendering(target)?;
        let check = self.plan.cascade.as_ref().and_then(|cascade| self.check(cascade, target, &rendering));
        let upstream_request = match &check {
            None => self.written(&rendering, (client, target)).await?,
            Some(check) => Box::pin(self.written_to_check(check, (client, target))).await?,
        };
        let (began, health) = (now(), &self.parts.health);
        let asking = Asking { target, key: &self.incoming.key.id, began };
        // A call that is forced has its place in the line already.
        let line = (!is_forced).then_some(&self.parts.probe_line);
        let _probe = match health.enter(asking) {
            Entry::Closed if !is_forced => return Ok(None),
            Entry::Probe => Some(Probe::new(health, asking, line)),
            Entry::Open | Entry::Closed => None,
        };
        if self.incoming.own.is_none() {
            health.called(&target.provider, began);
        }
        let (role, is_anothers) = (None, AtomicBool::new(false));
        Ok(Some(Turn { place, target, client, rendering, upstream_request, began, _probe, role, check, is_anothers }))
    }

    /// What `target` gets of a rendering, written on the pool where that is large.
    pub(super) async fn written(
        &self,
        rendering: &Arc<Rendering>,
        (client, target): (&Arc<ProviderClient>, &Arc<Target>),
    ) -> Result<UpstreamRequest, Error> {
        if rendering.object().bytes().len() <= LARGE {
            return rendering.for_target(self.incoming, (client, target), &self.live.prices);
        }
        let (rendering, client, target) = (rendering.clone(), client.clone(), target.clone());
        let (incoming, live) = (self.incoming.clone(), self.live.clone());
        let piece = move || rendering.for_target(&incoming, (&client, &target), &live.prices);
        Box::pin(aside(&self.parts.pool, piece)).await?
    }

    /// Notes an answer, and whether it has the form that was asked for.
    pub(super) fn answered(&self, attempt: Attempt, mut answered: Answered, progress: &mut Progress<'_>) -> Outcome {
        let before = progress.misfit.take();
        let is_second = before.is_some();
        let rendering = progress.turn.as_ref().filter(|_| self.plan.repair).map(|turn| &turn.rendering);
        let wanted = before.map(|(wanted, _)| wanted).or_else(|| Wanted::of(rendering?));
        let mut outcome = Outcome::Answered;
        progress.repair = is_second.then_some(Repair::Repaired);
        if let Some(wanted) = wanted
            && let Answered::Whole { body, used, ended_well, kind, .. } = &mut answered
        {
            match wanted.verdict(body) {
                Verdict::Fits => {}
                // Only an answer that was checked is better than the one before it.
                Verdict::Unchecked { .. } if is_second => {
                    *ended_well = false;
                    progress.repair = Some(Repair::Failed);
                }
                Verdict::Unchecked { is_torn } => *ended_well &= !is_torn,
                Verdict::Misses(misfit) => {
                    attempt.end(Ended::invalid(*used));
                    (*ended_well, *kind) = (false, None);
                    outcome = Outcome::Malformed { may_improve: misfit.may_improve };
                    progress.repair = Some(Repair::Failed);
                    progress.misfit = Some((wanted, misfit));
                }
            }
        }
        progress.answer = Some((attempt, answered));
        outcome
    }

    /// Asks the target whose answer has not the form that was asked for once more. Where no better one comes, the first stays.
    async fn ask_again(&self, progress: &mut Progress<'_>, meter: &Meter) -> Result<Outcome, Error> {
        let Some((turn, (_, misfit))) = progress.turn.as_mut().zip(progress.misfit.as_ref()) else {
            return Ok(Outcome::Unsent);
        };
        let Ok(rendering) = turn.rendering.once_more(misfit).map(Arc::new) else { return Ok(Outcome::Unsent) };
        let Ok(upstream_request) = self.written(&rendering, (turn.client, turn.target)).await else {
            return Ok(Outcome::Unsent);
        };
        let emulated = std::mem::replace(&mut turn.upstream_request, upstream_request).emulated;
        let second = self.once(turn, &rendering, meter).await?;
        turn.upstream_request.emulated = emulated;
        match second {
            Ok((attempt, answered @ Answered::Whole { .. })) => {
                self.note_answer(turn);
                Ok(self.answered(attempt, answered, progress))
            }
            Ok(_) => Ok(Outcome::Unsent),
            Err(failure) => {
                self.note_health(turn, &failure);
                Ok(Outcome::Failed(Failing::Finally))
            }
        }
    }

    /// How a target failed: another form of the request is made where the target has one, else its health notes the failure.
    fn failing(&self, turn: &mut Turn<'_>, failure: &Failure) -> Result<Failing, Error> {
        if self.has_another_form(turn, failure) {
            let logprobs = turn.upstream_request.undo.logprobs;
            turn.upstream_request =
                turn.sent().for_target(self.incoming, (turn.client, turn.target), &self.live.prices)?;
            turn.upstream_request.undo.logprobs = logprobs;
            return Ok(Failing::Form);
        }
        // A provider that lacks a route is not unwell: its models may answer other calls.
        if turn.rendering.passes() && failure.status() == Some(501) {
            self.parts.health.abandoned(self.asking(turn), now());
            return Ok(if failure.is_retryable() { Failing::Longer } else { Failing::Finally });
        }
        self.note_health(turn, failure);
        if let Some(cause) = self.cause_of(failure) {
            return Ok(Failing::For(cause));
        }
        Ok(match failure {
            Failure::Auth { another_key: true, .. } => Failing::Key,
            Failure::Throttled { another_key: true, .. } => Failing::RestingKey,
            Failure::Throttled { retry_after: Some(wait), .. } => Failing::Throttled(*wait),
            // Another target may let in what this one forbids, and do what its server does not, now or in a moment.
            Failure::Auth { .. } | Failure::Server { status: 501 | 505, .. } => Failing::Longer,
            failure if failure.is_forbidden() => Failing::Longer,
            failure if failure.is_gone() && !lacks_other_route(failure, turn.rendering.endpoint) => Failing::Longer,
            Failure::Server { error, .. } if error.retry_after.is_some() => {
                Failing::Throttled(error.retry_after.unwrap_or_default())
            }
            Failure::Connect(_) | Failure::Protocol(_) | Failure::Server { .. } | Failure::TimedOut(Phase::Connect) => {
                Failing::Briefly
            }
            failure if failure.is_retryable() => Failing::Longer,
            // It may be what the gateway itself asked for that the target does not know.
            Failure::Refused { .. } if turn.upstream_request.undo.logprobs => Failing::Longer,
            _ => Failing::Finally,
        })
    }

    /// Whether a target lacks the form in which it was asked, and has another; notes that for the calls to come.
    fn has_another_form(&self, turn: &Turn<'_>, failure: &Failure) -> bool {
        let (client, model) = (turn.client, &turn.target.model);
        if turn.upstream_request.operation == Operation::Responses && client.provider().chat && failure.lacks_route() {
            // Another call may have noted it meanwhile.
            client.lacks_responses(model);
            return !client.has_responses(model);
        }
        let lacks_base64 = refuses_base64(failure, &turn.rendering) && client.has_base64();
        if lacks_base64 {
            client.lacks_base64();
        }
        lacks_base64
    }

    pub(super) fn note_answer(&self, turn: &Turn<'_>) {
        let now = now();
        self.parts.health.succeeded(self.asking(turn), now);
        self.parts.target_log.answered(self.met(turn), now);
    }

    /// Notes the head of an answer whose end will show whether it is good.
    fn note_beginning(&self, turn: &Turn<'_>) {
        let now = now();
        self.parts.health.begun(self.asking(turn), now);
        self.parts.target_log.answered(self.met(turn), now);
    }

    pub(super) fn note_health(&self, turn: &Turn<'_>, failure: &Failure) {
        let (asking, now) = (self.asking(turn), now());
        // What the gateway asks of its own cools no target for callers.
        let is_own = self.incoming.own.is_some() || turn.is_anothers.load(Ordering::Relaxed);
        let counts = !is_own && !lacks_other_route(failure, turn.rendering.endpoint);
        match fault_of(failure).filter(|_| counts) {
            Some(fault) => self.parts.health.failed(asking, fault, now, rand::random()),
            None => self.parts.health.abandoned(asking, now),
        }
        self.parts.target_log.failed(self.met(turn), failure, &self.parts.health, now);
    }

    fn met<'t>(&'t self, turn: &Turn<'t>) -> Met<'t> {
        Met { target: turn.target, key: &self.incoming.key.id, request: self.incoming.id }
    }

    /// How fast a stream of the target at `place` must be, where another target could take its place.
    fn pace(&self, place: usize) -> Option<Pace> {
        let (least, now) = (self.plan.min_speed?, now());
        let is_open = |target: &Arc<Target>| self.parts.health.state(target, &self.incoming.key.id, now).is_open();
        self.plan.targets.iter().skip(place + 1).any(is_open).then(|| Pace::new(least))
    }

    /// One attempt of this call alone: its intent, the call, and its row where it failed.
    pub(super) async fn alone(
        &self,
        turn: &Turn<'_>,
        rendering: &Rendering,
        meter: &Meter,
    ) -> Result<Result<(Attempt, Answered), Failure>, Error> {
        let Turn { target, client, upstream_request, .. } = turn;
        let (pricing, most) = self.live.priced(client.provider(), target);
        let estimate = rendering.reserve(most).in_tier(upstream_request.tier);
        let attempt = meter.attempt(turn.role, target, pricing, estimate).await?;
        let attempt = attempt.followed(self.plan.follows, target, rendering.asked.stream);
        let call = Call {
            operation: upstream_request.operation,
            model: &target.model,
            stream: rendering.asked.stream,
            headers: upstream_request.headers.clone(),
            body: upstream_request.body.clone(),
            deadline: self.deadline,
            project: &self.incoming.key.project,
            shares: self.incoming.key.shares,
            background: self.incoming.background,
        };
        let answered = async {
            let answer = client.send(call).await?;
            attempt.first_byte();
            if answer.is_stream() {
                let pace = self.pace(turn.place);
                let beginning = Beginning::new(answer, rendering, upstream_request, (&attempt, pace))?;
                return Box::pin(beginning.read()).await;
            }
            // Nor does it take room from callers' answers.
            let answers = self.incoming.own.map_or(&self.parts.answers, |_| self.parts.side_calls.answers());
            let room = &mut AnswerRoom::new(answers, self.live.answers, &self.incoming.key.id);
            read(answer, (rendering, self.incoming), upstream_request, (client, &attempt), room).await
        };
        let closing = self.parts.closing.cancelled();
        let outcome = tokio::select! {
            biased;
            outcome = answered => outcome,
            () = closing => Err(Failure::Closing.into()),
        };
        match outcome {
            Ok(answered) => {
                match attempt.is_followed() && Self::says_nothing(&answered, rendering) {
                    true => attempt.said_nothing(),
                    false => attempt.answered(),
                }
                Ok(Ok((attempt, answered)))
            }
            Err(unanswered) => {
                if self.incoming.own.is_some() && matches!(unanswered.failure, Failure::Closing) {
                    attempt.end(Ended::cut_off(estimate));
                }
                note_failure(&unanswered, &attempt, rendering.endpoint);
                // A reason may be the provider's own words.
                Ok(Err(client.redacted(unanswered.failure)))
            }
        }
    }
}

impl Turn<'_> {
    /// What goes out of the request.
    fn sent(&self) -> &Rendering {
        self.check.as_ref().map_or(&self.rendering, |check| &check.rendering)
    }
}

impl Progress<'_> {
    /// Whether no target was asked.
    fn is_untouched(&self) -> bool {
        self.failure.is_none() && self.answer.is_none() && self.kept.is_none() && self.filtered.is_none()
    }

    /// Keeps the first answer that a filter ended: the caller gets it where no other target has a better one.
    fn keep_filtered(&mut self, attempt: Attempt, answer: Answered) {
        if let Some(turn) = self.turn.take().filter(|_| self.filtered.is_none()) {
            self.filtered = Some(Box::new((turn, attempt, answer)));
        }
    }

    /// The answer that a filter ended, where no target has another.
    ///
    /// # Errors
    /// The first refusal for a cause, or the last failure, where there is none.
    fn filtered(mut self, meter: &Meter) -> Result<Served, Option<Error>> {
        let Some(filtered) = self.filtered.take() else { return Err(self.refused.or(self.failure)) };
        let (turn, attempt, answer) = *filtered;
        Self { turn: Some(turn), answer: Some((attempt, answer)), ..self }.served(meter)
    }

    /// The answer that goes down.
    ///
    /// # Errors
    /// The first refusal for a cause, or the last failure, where there is no answer.
    fn served(self, meter: &Meter) -> Result<Served, Option<Error>> {
        let Self { turn: Some(turn), answer: Some((attempt, answer)), repair, .. } = self else {
            let kept = self.kept.ok_or(self.refused.or(self.failure))?;
            // An attempt of another target may have ended since.
            meter.note_answer_of(kept.target.provider.clone(), kept.target.model.clone());
            return Ok(*kept);
        };
        let Turn { target, rendering, upstream_request, .. } = turn;
        Ok(Served { attempt, target: target.clone(), rendering, answer, emulated: upstream_request.emulated, repair })
    }
}

/// Whether a target refused the form in which a caller wants its vectors: we can put them into it ourselves.
fn refuses_base64(failure: &Failure, request: &Rendering) -> bool {
    let Failure::Refused { status: 400 | 422, error } = failure else { return false };
    let names = |text: &str| text.contains("encoding_format") || text.contains("base64");
    matches!(request.endpoint.task(), Task::Embed { .. })
        && request.endpoint.dialect() == DialectId::OpenAiChat
        && openai_embeddings::encoding(request.object()) == Encoding::Base64
        && (names(&error.message) || error.param.as_deref().is_some_and(names))
}

async fn wait(after: Duration, meter: &Meter) {
    if after.is_zero() {
        return;
    }
    meter.goes_on();
    let began = Instant::now();
    sleep(after).await;
    meter.waited(began.elapsed());
}

/// The error of a call that no target answered.
fn failed(last: Error, meter: &Meter) -> Error {
    Error { retried: meter.has_retried(), ..last }
}

/// Ends an attempt that brought no answer. It is charged what its provider reported, or what came before it broke off: nothing
/// where not a byte of its answer came.
pub(super) fn note_failure(unanswered: &Unanswered, attempt: &Attempt, endpoint: Endpoint) {
    let Unanswered { failure, reported, is_part } = unanswered;
    if !lacks_other_route(failure, endpoint) {
        attempt.failed(failure);
    }
    let cut_off = *is_part && failure.may_be_charged();
    let came = || attempt.estimate().filter(|_| cut_off);
    attempt.end(Ended {
        status: if cut_off { Status::Unknown } else { Status::Error },
        http_status: failure.status(),
        error: Some(failure.code().text()),
        retryable: failure.is_retryable(),
        used: reported.or_else(came),
    });
}
