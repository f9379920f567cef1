//! What the requests of an experiment's arms say so far: samples of its metrics, a sample a unit.

use std::sync::Arc;
use std::time::Duration;

use crate::chat::Error;
use crate::db::Db;
use crate::experiments::{Experiment, Look, Margin, Metric, SLOWEST, Samples, Tally};
use crate::stats::Sums;
use crate::types::Timestamp;
use crate::usage::{ArmTotals, Moments, Trial, arm_totals, reported, slow_latency, slower_than};

/// An experiment with what is known of its arms.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The look.
    pub look: Look,
    /// The arms, in the experiment's order.
    pub arms: Vec<ObservedArm>,
}

/// What is known of an arm.
#[derive(Clone, Debug, Default)]
pub struct ObservedArm {
    /// How many units got it.
    pub assigned: u64,
    /// How many requests got it.
    pub requests: u64,
    /// Samples of the goal.
    pub goal: Samples,
    /// The mean cost of a request in dollars, where any has a price.
    pub cost_usd: Option<f64>,
}

/// Looks at the arms of an experiment that has begun.
///
/// # Errors
/// Where the database cannot be read.
pub async fn observe(db: &Db, experiment: &Experiment, now: Timestamp) -> Result<Observed, Error> {
    let spec = &experiment.spec;
    let trial = trial(experiment, now);
    let mut seen = Reading::of(db, trial).await?;
    let mut arms = Vec::with_capacity(spec.arms.len());
    for arm in &spec.arms {
        let name = arm.name.as_str();
        let totals = seen.totals.iter().find(|totals| totals.arm == name).cloned().unwrap_or_default();
        let goal = seen.samples((&spec.goal.metric, None), (name, spec.control().name.as_str())).await?;
        arms.push(ObservedArm {
            assigned: totals.units,
            requests: totals.requests,
            goal,
            cost_usd: mean(&totals.cost),
        });
    }
    let mut tallies = Vec::with_capacity(arms.len());
    for (arm, observed) in spec.arms.iter().zip(&arms) {
        let mut guards = Vec::with_capacity(spec.guardrails.len());
        for guardrail in &spec.guardrails {
            let of = (&guardrail.metric, Some(guardrail.margin));
            guards.push(seen.samples(of, (arm.name.as_str(), spec.control().name.as_str())).await?);
        }
        let is_off = experiment.is_off(&arm.name);
        tallies.push(Tally { units: observed.assigned, is_off, goal: observed.goal, guards });
    }
    let running = trial.until - trial.from;
    let running = Duration::from_micros(u64::try_from(running.as_micros()).unwrap_or(0));
    Ok(Observed { look: spec.look(&tallies, running), arms })
}

/// The requests of an experiment that count by `now`: what came after a decision tells nothing of it.
fn trial(experiment: &Experiment, now: Timestamp) -> Trial<'_> {
    let (from, until) = (experiment.counted_from.unwrap_or(now), experiment.ended_at.unwrap_or(now));
    Trial { experiment: experiment.spec.name.as_str(), from, until }
}

/// The latency that 95 of 100 requests of each arm stay below, in milliseconds, where any was answered.
///
/// # Errors
/// Where the database cannot be read.
pub async fn latencies(db: &Db, experiment: &Experiment, now: Timestamp) -> Result<Vec<Option<f64>>, Error> {
    let mut found = Vec::with_capacity(experiment.spec.arms.len());
    for arm in &experiment.spec.arms {
        found.push(slow_latency(db, trial(experiment, now), arm.name.as_str()).await?.map(millis));
    }
    Ok(found)
}

/// What callers report of a metric.
struct Reported {
    metric: Arc<str>,
    arms: Vec<(String, Moments)>,
    /// Whether all of it lies between 0 and 1.
    is_bounded: bool,
}

/// What was read of an experiment's arms.
struct Reading<'a> {
    db: &'a Db,
    trial: Trial<'a>,
    totals: Vec<ArmTotals>,
    /// Shares of units' requests that took longer than so many microseconds.
    slow: Vec<(i64, Vec<(String, Moments)>)>,
    /// What callers report.
    reported: Vec<Reported>,
    /// The control's 95 %, in microseconds, once it was read.
    threshold: Option<Option<i64>>,
}

impl<'a> Reading<'a> {
    async fn of(db: &'a Db, trial: Trial<'a>) -> Result<Self, Error> {
        let totals = arm_totals(db, trial).await?;
        Ok(Self { db, trial, totals, slow: Vec::new(), reported: Vec::new(), threshold: None })
    }

    /// Samples of a metric in an arm; of a latency, of what lies above the control's 95 % and the margin.
    async fn samples(
        &mut self,
        (metric, margin): (&Metric, Option<Margin>),
        (arm, control): (&str, &str),
    ) -> Result<Samples, Error> {
        let totals = self.totals.iter().find(|totals| totals.arm == arm);
        let samples = match metric {
            Metric::ErrorRate => of_moments(totals.map(|totals| totals.errors), true),
            Metric::CostUsd => of_moments(totals.map(|totals| totals.cost), false),
            Metric::LatencyP95Ms => self.tail(margin, (arm, control)).await?,
            Metric::Feedback(name) => self.reported(name, arm).await?,
        };
        Ok(samples)
    }

    async fn reported(&mut self, name: &Arc<str>, arm: &str) -> Result<Samples, Error> {
        let at = match self.reported.iter().position(|known| known.metric == *name) {
            Some(at) => at,
            None => {
                let (arms, is_bounded) = reported(self.db, self.trial, name).await?;
                self.reported.push(Reported { metric: name.clone(), arms, is_bounded });
                self.reported.len() - 1
            }
        };
        let Reported { arms, is_bounded, .. } = &self.reported[at];
        let moments = arms.iter().find(|(known, _)| known == arm).map(|(_, moments)| *moments);
        Ok(of_moments(moments, *is_bounded))
    }

    async fn tail(&mut self, margin: Option<Margin>, (arm, control): (&str, &str)) -> Result<Samples, Error> {
        let Some(own) = self.threshold(control).await? else { return Ok(Samples::default()) };
        let above = own.saturating_add(micros_of(margin, own));
        let at = match self.slow.iter().position(|(known, _)| *known == above) {
            Some(at) => at,
            None => {
                self.slow.push((above, slower_than(self.db, self.trial, above).await?));
                self.slow.len() - 1
            }
        };
        let moments = self.slow[at].1.iter().find(|(name, _)| name == arm).map(|(_, moments)| *moments);
        if arm == control {
            // What lies above the control's own 95 %, as it is known from so many units.
            let n = moments.map_or(0, |moments| moments.n);
            let squares = crate::stats::real(n) * SLOWEST * (1.0 - SLOWEST);
            return Ok(Samples { sums: Sums { n, mean: SLOWEST, squares }, is_bounded: true });
        }
        Ok(of_moments(moments, true))
    }

    async fn threshold(&mut self, control: &str) -> Result<Option<i64>, Error> {
        match self.threshold {
            Some(known) => Ok(known),
            None => {
                let read = slow_latency(self.db, self.trial, control).await?;
                self.threshold = Some(read);
                Ok(read)
            }
        }
    }
}

fn of_moments(moments: Option<Moments>, is_bounded: bool) -> Samples {
    let moments = moments.unwrap_or_default();
    Samples { sums: Sums::of(moments.n, moments.sum, moments.squares), is_bounded }
}

fn mean(moments: &Moments) -> Option<f64> {
    (moments.n > 0).then(|| moments.sum / crate::stats::real(moments.n))
}

/// A margin of a latency, in microseconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "latencies are far below 2^53 microseconds"
)]
fn micros_of(margin: Option<Margin>, own: i64) -> i64 {
    match margin {
        None => 0,
        Some(Margin::By(millis)) => (millis * 1_000.0).min(1e15) as i64,
        Some(Margin::Part(part)) => (own as f64 * part).min(1e15) as i64,
    }
}

#[expect(clippy::cast_precision_loss, reason = "a latency is shown in milliseconds")]
fn millis(micros: i64) -> f64 {
    micros as f64 / 1_000.0
}
