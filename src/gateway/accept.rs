//! An answer of a cascade's target, looked at before its caller gets it.

use std::sync::Arc;

use bytes::Bytes;

use super::answer::{Answered, Served};
use super::aside::{LARGE, aside};
use super::attempt::{Attempts, Progress, Turn};
use super::check::Check;
use super::meter::Meter;
use super::open_attempt::Ended;
use super::rendering::Rendering;
use super::repair::{Verdict, Wanted};
use super::reserve::Attempt;
use super::upstream_request::UpstreamRequest;
use crate::chat::{Error, Response};
use crate::routing::{Cascade, CascadeStep, Checks, NotAccepted, Outcome, Shown, Target};
use crate::upstream::ProviderClient;
use crate::wire::DialectId;
use crate::wire::endpoint::Task;

impl<'a> Attempts<'a> {
    /// How the answer of `target` to `rendering` is looked at; `None` where any is accepted. Only answers in words are.
    pub(super) fn check(
        &self,
        cascade: &'a Cascade,
        target: &Target,
        rendering: &Arc<Rendering>,
    ) -> Option<Box<Check<'a>>> {
        let accept = cascade.accept_of(target)?;
        let Task::Converse = rendering.endpoint.task() else { return None };
        let to_check = rendering.to_check(accept.checks.min_logprob.is_some());
        let (rendering, asks_logprobs) =
            to_check.map_or_else(|| (rendering.clone(), false), |(made, asks)| (Arc::new(made), asks));
        Some(Box::new(Check { accept, rendering, asks_logprobs }))
    }

    /// What `target` gets of a request whose answer is looked at.
    ///
    /// # Errors
    /// Where it has no words for that, such as for log-probabilities that its dialect does not have.
    pub(super) async fn written_to_check(
        &self,
        check: &Check<'a>,
        of: (&Arc<ProviderClient>, &Arc<Target>),
    ) -> Result<UpstreamRequest, Error> {
        let mut written = self.written(&check.rendering, of).await?;
        written.undo.logprobs = check.asks_logprobs;
        Ok(written)
    }

    /// Looks at an answer of a cascade's target: the caller gets it, or the next target is asked.
    ///
    /// # Errors
    /// Where the ledger takes no attempt of a judge.
    pub(super) async fn looked_at(
        &self,
        (attempt, answered): (Attempt, Answered),
        progress: &mut Progress<'a>,
        meter: &Meter,
    ) -> Result<Outcome, Error> {
        let Some(turn) = progress.turn.as_ref() else { return Ok(Outcome::Unsent) };
        let target = turn.target;
        let verdict = match (&turn.check, &answered) {
            (Some(check), Answered::Whole { body, shown, used, .. }) => {
                attempt.is_whole(*used);
                self.verdict((turn, check), (body, *shown), meter).await?
            }
            _ => Ok(()),
        };
        let outcome = verdict.err().map_or("accepted", NotAccepted::code);
        self.parts.metrics.saw_cascade(&target.provider, &target.model, outcome);
        progress.steps.push(CascadeStep { model: target.id.clone(), not_accepted: verdict.err() });
        let steps: Vec<_> = progress.steps.iter().map(CascadeStep::shown).collect();
        meter.note_in_trace("steps", steps);
        match verdict {
            Ok(()) => Ok(self.answered(attempt, answered, progress)),
            Err(why) => {
                progress.kept = kept(turn, (attempt, answered), why);
                Ok(Outcome::NotAccepted)
            }
        }
    }

    /// Whether an answer is accepted.
    async fn verdict(
        &self,
        (turn, check): (&Turn<'a>, &Check<'a>),
        (body, shown): (&Bytes, Shown),
        meter: &Meter,
    ) -> Result<Result<(), NotAccepted>, Error> {
        let wanted = check.accept.checks.json_schema.then(|| Wanted::or_json(&turn.rendering));
        let looks = Looks { checks: check.accept.checks.clone(), wanted, dialect: turn.rendering.endpoint.dialect() };
        let looked = if body.len() > LARGE {
            let body = body.clone();
            aside(&self.parts.pool, move || looks.at(&body, shown)).await?
        } else {
            looks.at(body, shown)
        };
        match (looked, &check.accept.judge) {
            (Ok(answer), Some(judge)) => self.judged(judge, (&turn.rendering.text(), &answer), meter).await,
            (looked, _) => Ok(looked.map(drop)),
        }
    }
}

/// What of an answer is looked at.
struct Looks {
    checks: Checks,
    /// The form that it must have.
    wanted: Option<Wanted>,
    dialect: DialectId,
}

impl Looks {
    /// Looks at a whole answer in the caller's dialect.
    fn at(&self, body: &Bytes, shown: Shown) -> Result<Response, NotAccepted> {
        let answer = self.dialect.codec().read_response(body).map_err(|_| NotAccepted::Empty)?;
        let fits = || self.wanted.as_ref().is_none_or(|wanted| fits(&wanted.verdict(body)));
        self.checks.look(&answer, shown, fits)?;
        Ok(answer)
    }
}

/// Whether an answer has the form, or need not have it, since it calls tools.
fn fits(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Fits | Verdict::Unchecked { is_torn: false })
}

/// An answer that was not accepted, which stays for where no later one comes. No cache stores it.
fn kept(turn: &Turn<'_>, (attempt, mut answer): (Attempt, Answered), why: NotAccepted) -> Option<Box<Served>> {
    if let Answered::Whole { used, ended_well, kind, .. } = &mut answer {
        attempt.end(Ended::not_accepted(*used, why.code()));
        (*ended_well, *kind) = (false, None);
    }
    let (target, rendering, emulated) =
        (turn.target.clone(), turn.rendering.clone(), turn.upstream_request.emulated.clone());
    Some(Box::new(Served { attempt, target, rendering, answer, emulated, repair: None }))
}
