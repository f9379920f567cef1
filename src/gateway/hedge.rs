//! A hedged attempt: a second target is asked where the first has not begun to answer in time, and the first answer goes down.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::attempt::{Attempts, Progress};
use super::meter::Meter;
use crate::chat::{Error, Usage, Used};
use crate::routing::{
    Asking, HedgePolicy, Hedged, Hedges, Lane, Outcome, Patience, Race, RaceOutcome, RaceStep, Reserved, SpendShown,
    Standing, Target,
};
use crate::types::{Nanos, Timestamp, now};
use crate::usage::Role;

/// When a second target would be asked, as `explain` shows it.
#[derive(Serialize)]
pub struct HedgeShown {
    policy: Value,
    /// The second target, where there is one.
    second: Option<Arc<str>>,
    after_ms: Option<u64>,
    estimated_cost_usd: Option<Nanos>,
    /// What the route spent in the last ten minutes, and its hedges.
    spend: SpendShown,
    summary: String,
}

/// What one of two targets has brought.
type Brought<'a> = Result<(Progress<'a>, Outcome), Error>;

/// One target as it is asked.
struct Runner<'f, 'a> {
    target: &'a Arc<Target>,
    /// When it was asked.
    since: Instant,
    began: Timestamp,
    /// `None` once it has ended.
    asked: Option<Pin<Box<dyn Future<Output = Brought<'a>> + Send + 'f>>>,
    /// What it has brought, once it has ended.
    brought: Option<(Progress<'a>, Outcome)>,
}

impl<'a> Attempts<'a> {
    /// Asks the target at `place` of the plan, and the next one beside it where the first is late and the route may spend that.
    ///
    /// # Errors
    /// Where the ledger takes no attempt.
    pub(super) async fn ask_hedged(
        &self,
        hedge: &'a HedgePolicy,
        place: usize,
        progress: &mut Progress<'a>,
        meter: &Meter,
    ) -> Result<Outcome, Error> {
        if let Some(failed) =
            progress.hedged.as_mut().filter(|hedged| hedged.place == place).and_then(|hedged| hedged.failed.take())
        {
            return Ok(failed);
        }
        let Some(target) = self.plan.targets.get(place) else { return self.ask((place, false), progress, meter).await };
        meter.spends(self.parts.hedges.spend_of(&hedge.route));
        let patience = match self.parts.hedges.patience(hedge, &target.id, self.is_stream()) {
            Patience::Known(patience) => Some(patience),
            Patience::TooFew(_) => None,
        };
        let second = Some(place + 1).filter(|next| progress.hedged.is_none() && *next < self.plan.targets.len());
        let mut race = Race::new(patience, second);
        let mut first = self.runner((place, target), std::mem::take(progress), meter);
        let mut beside: Option<(usize, Runner<'_, 'a>)> = None;
        let mut step = race.first();
        let winner = loop {
            let outcome = match step {
                RaceStep::Over(lane) => break lane,
                RaceStep::Wait { late } => {
                    first_of(&mut first, beside.as_mut().map(|(_, second)| second), late).await?
                }
                RaceStep::Beside { place } => match self.second(hedge, (target, place), meter) {
                    None => RaceOutcome::Withheld,
                    Some(target) => {
                        let fresh = Progress { role: Some(Role::Hedge), ..Progress::default() };
                        beside = Some((place, self.runner((place, target), fresh, meter)));
                        RaceOutcome::Asked
                    }
                },
            };
            if let RaceOutcome::Ended(lane, Outcome::Answered | Outcome::Malformed { .. }) = outcome {
                let ran =
                    if lane == Lane::First { &first } else { beside.as_ref().map_or(&first, |(_, second)| second) };
                self.parts.hedges.began_after(&ran.target.id, self.is_stream(), ran.since.elapsed());
            }
            step = race.next(outcome);
        };
        Ok(self.over(hedge, (first, beside, winner), progress, meter))
    }

    fn is_stream(&self) -> bool {
        self.request.first().asked.stream
    }

    fn runner<'f>(
        &'f self,
        (place, target): (usize, &'a Arc<Target>),
        mut progress: Progress<'a>,
        meter: &'f Meter,
    ) -> Runner<'f, 'a> {
        let asked = Box::pin(async move {
            let outcome = self.ask((place, false), &mut progress, meter).await?;
            Ok((progress, outcome))
        });
        Runner { target, since: Instant::now(), began: now(), asked: Some(asked), brought: None }
    }

    /// The second target, where it is well and the route may spend that.
    fn second(&self, hedge: &HedgePolicy, (first, place): (&Target, usize), meter: &Meter) -> Option<&'a Arc<Target>> {
        let target = self.plan.targets.get(place).filter(|target| target.id != first.id)?;
        let (key, at) = (&self.incoming.key.id, now());
        if self.parts.health.state(target, key, at) != Standing::Healthy {
            return None;
        }
        if self.request.rendering(target).is_ok_and(|rendering| rendering.acts()) {
            self.saw_hedge(hedge, "acts", meter);
            return None;
        }
        // The calls of the first cause it, so it is of their budget.
        let reserved = self.room_for(hedge, target, at).filter(|_| self.parts.health.may_hedge(&first.provider, at));
        let Some(reserved) = reserved else {
            self.saw_hedge(hedge, "withheld", meter);
            return None;
        };
        meter.hedges(reserved);
        Some(target)
    }

    /// Room for a hedge in what the route spends.
    fn room_for(&self, hedge: &HedgePolicy, target: &Target, at: Timestamp) -> Option<Reserved> {
        let estimate = self.hedge_estimate(hedge, target, at);
        self.parts.hedges.spend_of(&hedge.route).reserve(estimate, hedge.max_extra_spend, at)
    }

    /// What a hedge is reckoned to cost: this request, with an answer as long as the route's usually are.
    pub(super) fn hedge_estimate(&self, hedge: &HedgePolicy, target: &Target, at: Timestamp) -> Option<Nanos> {
        let client = self.live.clients.get(&target.provider)?;
        let (pricing, most) = self.live.priced(client.provider(), target);
        let rendering = self.request.rendering(target).ok()?;
        let most = rendering.reserve(most);
        let usual = self.parts.hedges.spend_of(&hedge.route).usual_output(at);
        let usage = most.usage.map(|usage| Usage { output: usual.unwrap_or(usage.output).min(usage.output), ..usage });
        pricing.cost(&Used { usage, ..most })
    }

    /// When a second target would be asked.
    pub(super) fn hedge_shown(&self) -> Option<HedgeShown> {
        let (hedge, at) = (self.plan.hedge.as_deref()?, now());
        let first = self.plan.targets.first()?;
        let second = self.plan.targets.get(1).filter(|second| second.id != first.id);
        let spend = self.parts.hedges.spend_of(&hedge.route);
        let estimate = second.and_then(|second| self.hedge_estimate(hedge, second, at));
        let patience = self.parts.hedges.patience(hedge, &first.id, self.is_stream());
        let after_ms = match patience {
            Patience::Known(after) => Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            Patience::TooFew(_) => None,
        };
        let acts = self.request.rendering(first).is_ok_and(|rendering| rendering.acts());
        let summary = match (second, patience) {
            (None, _) => "not asked: the call has one target".to_owned(),
            _ if acts => "not asked: the provider may act on the call, and would act twice".to_owned(),
            (_, Patience::TooFew(known)) => {
                format!("not asked: {known} of the {} answers are known that a percentile needs", Hedges::fewest())
            }
            (Some(second), Patience::Known(_)) if !spend.has_room(estimate, hedge.max_extra_spend, at) => {
                format!("not asked: {} would cost more than max_extra_spend allows just now", second.id)
            }
            (Some(second), Patience::Known(after)) => {
                format!("{} is asked too where no answer began within {} ms", second.id, after.as_millis())
            }
        };
        let (second, spend) = (second.map(|second| second.id.clone()), spend.shown(at));
        Some(HedgeShown { policy: hedge.shown(), second, after_ms, estimated_cost_usd: estimate, spend, summary })
    }

    /// Ends a race: the loser is asked no more, and what the winner has brought is the call's.
    fn over(
        &self,
        hedge: &HedgePolicy,
        (first, beside, winner): (Runner<'_, 'a>, Option<(usize, Runner<'_, 'a>)>, Lane),
        progress: &mut Progress<'a>,
        meter: &Meter,
    ) -> Outcome {
        let Some((place, second)) = beside else {
            let (brought, outcome) = first.brought.unwrap_or_else(|| (Progress::default(), Outcome::Unsent));
            *progress = brought;
            return outcome;
        };
        let (won, lost) = if winner == Lane::First { (first, second) } else { (second, first) };
        let (mut brought, outcome) = won.brought.unwrap_or_else(|| (Progress::default(), Outcome::Unsent));
        let is_answered = brought.answer.is_some();
        if let (Some((attempt, _)), Some(_)) = (&brought.answer, &lost.asked) {
            self.outrun(lost.target, (lost.since.elapsed(), lost.began));
            meter.outrun_by(attempt.number());
        }
        let word = match winner {
            Lane::Second => "won",
            Lane::First if is_answered => "lost",
            Lane::First => "failed",
        };
        self.saw_hedge(hedge, word, meter);
        // Its failure stays where it was the last, and it is not asked again.
        let failed = lost.brought.map(|(progress, outcome)| {
            brought.failure = brought.failure.take().or(progress.failure);
            brought.refused = brought.refused.take().or(progress.refused);
            outcome
        });
        brought.role = None;
        brought.hedged = Some(Hedged { place, failed: failed.filter(|_| winner == Lane::First) });
        *progress = brought;
        outcome
    }

    /// Notes that a target was asked no more, since another had answered: it had not begun by then.
    fn outrun(&self, target: &Target, (after, began): (Duration, Timestamp)) {
        self.parts.hedges.began_after(&target.id, self.is_stream(), after);
        self.parts.health.abandoned(Asking { target, key: &self.incoming.key.id, began }, now());
    }

    fn saw_hedge(&self, hedge: &HedgePolicy, outcome: &'static str, meter: &Meter) {
        self.parts.metrics.saw_hedge(&hedge.route, outcome);
        meter.note_in_trace("hedge", outcome);
    }
}

/// Waits for the first of two targets to end, or for the end of `late`.
async fn first_of<'a>(
    first: &mut Runner<'_, 'a>,
    second: Option<&mut Runner<'_, 'a>>,
    late: Option<Duration>,
) -> Result<RaceOutcome, Error> {
    let late = async {
        match late {
            Some(late) => sleep(late).await,
            None => std::future::pending().await,
        }
    };
    let beside = async {
        match second {
            Some(second) => second.end().await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        outcome = first.end() => Ok(RaceOutcome::Ended(Lane::First, outcome?)),
        outcome = beside => Ok(RaceOutcome::Ended(Lane::Second, outcome?)),
        () = late => Ok(RaceOutcome::Late),
    }
}

impl Runner<'_, '_> {
    /// Waits for the end of what is asked; where that has ended, for ever.
    async fn end(&mut self) -> Result<Outcome, Error> {
        let Some(asked) = &mut self.asked else { return std::future::pending().await };
        let (progress, outcome) = asked.await?;
        self.asked = None;
        self.brought = Some((progress, outcome));
        Ok(outcome)
    }
}
