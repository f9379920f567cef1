//! A look at an experiment: what its arms' samples say by now, and whether that decides it. Pure.
//!
//! A decision holds at any look: comparisons are confidence sequences, so an experiment may be looked at after every sample.

use std::fmt::Write as _;
use std::time::Duration;

use super::metric::{Better, Metric};
use super::spec::{Guardrail, Margin, Spec};
use crate::stats::{Estimate, Interval, Sequence, Sums, holm, ratio_e_value, sample_ratio};
use crate::types::ArmName;

/// Arms whose units are this unlikely to have fallen by chance freeze the experiment: by the chi-squared test, and as that test is
/// of one look, by one that holds at all of them too.
const MISMATCH: f64 = 0.001;

/// Samples of one metric in one arm, a sample a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Samples {
    /// Their number, mean and spread.
    pub sums: Sums,
    /// Whether all lie between 0 and 1, as a rate's do.
    pub is_bounded: bool,
}

/// What is known of one arm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    /// How many units got it.
    pub units: u64,
    /// Whether it takes part: one that was taken out does not, and the control always does.
    pub is_off: bool,
    /// Samples of the goal. Of a latency: the share above the control's 95 % in each arm, as [`crate::experiments::SLOWEST`] says.
    pub goal: Samples,
    /// Samples of each guardrail, likewise; of a latency above the control's 95 % and its margin.
    pub guards: Vec<Samples>,
}

/// What a look sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Look {
    /// The probability of units that are shared out this unevenly.
    pub srm_p: f64,
    /// The evidence of the candidate with the most that it is not like the control; 1 says nothing, 1/α decides.
    pub e_value: f64,
    /// The arms, in the experiment's order.
    pub arms: Vec<Seen>,
    /// What follows.
    pub verdict: Verdict,
}

/// What a look sees of an arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Where the mean of its goal lies.
    pub mean: Interval,
    /// By how much it is better than the control; of the control itself nothing is known of that.
    pub gain: Interval,
    /// The evidence that it is not like the control.
    pub e_value: f64,
}

/// What follows from a look. A reason is a sentence for people, with its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing yet.
    Wait,
    /// The units are shared out as they should not be: nothing can be concluded.
    Freeze(String),
    /// This arm is better.
    Won(ArmName, String),
    /// These arms are worse, or break a guardrail.
    Harmed(Vec<ArmName>, String),
    /// No arm differs from the control by as much as matters.
    Equivalent(String),
}

impl Samples {
    fn estimate(&self) -> Estimate {
        let variance = if self.is_bounded { self.sums.bounded_variance() } else { self.sums.variance() };
        Estimate::mean(&self.sums, variance)
    }
}

/// How much better the samples of a candidate are than the control's.
fn gain(better: Better, candidate: &Samples, control: &Samples) -> Estimate {
    match better {
        Better::Higher => Estimate::difference(candidate.estimate(), control.estimate(), 1.0),
        Better::Lower => Estimate::difference(control.estimate(), candidate.estimate(), 1.0),
    }
}

/// By how much the samples of a candidate are worse than a guardrail allows.
fn excess(guardrail: &Guardrail, candidate: &Samples, control: &Samples) -> Estimate {
    let (candidate, control) = (candidate.estimate(), control.estimate());
    let (ratio, by) = match guardrail.margin {
        // The samples are of what lies above the margin already.
        _ if guardrail.metric == Metric::LatencyP95Ms => (1.0, 0.0),
        Margin::By(by) => (1.0, by),
        Margin::Part(part) => (1.0 - guardrail.better.sign() * part, 0.0),
    };
    let above = Estimate::difference(candidate, control, ratio);
    Estimate { value: -guardrail.better.sign() * above.value - by, ..above }
}

impl Spec {
    /// Looks at the arms' samples, `running` after the experiment began.
    #[must_use]
    pub fn look(&self, tallies: &[Tally], running: Duration) -> Look {
        let sequence = self.sequence(self.alpha);
        let none = Tally::default();
        let control = tallies.first().unwrap_or(&none);
        let seen = |tally: &Tally| {
            let gain = gain(self.goal.better, &tally.goal, &control.goal);
            let mean = Sequence::narrowest_at(crate::stats::real(self.min_samples), self.alpha);
            let mean = mean.interval(&tally.goal.estimate());
            let mean = if tally.goal.is_bounded { mean.within(0.0, 1.0) } else { mean };
            Seen { mean, gain: sequence.interval(&gain), e_value: sequence.e_value(&gain, 0.0) }
        };
        let mut arms: Vec<Seen> = tallies.iter().map(seen).collect();
        if let Some(control) = arms.first_mut() {
            *control =
                Seen { gain: Interval { low: f64::NEG_INFINITY, high: f64::INFINITY }, e_value: 1.0, ..*control };
        }
        let (counts, shares) = self.counted(tallies);
        let srm_p = sample_ratio(&counts, &shares);
        let e_value = arms.iter().map(|arm| arm.e_value).fold(1.0, f64::max);
        let verdict = self.verdict(tallies, &arms, srm_p, running);
        Look { srm_p, e_value, arms, verdict }
    }

    /// The sequence of a difference of two arms, narrowest where both have the samples that are waited for.
    fn sequence(&self, alpha: f64) -> Sequence {
        Sequence::narrowest_at(2.0 * crate::stats::real(self.min_samples), alpha)
    }

    /// The units of the arms that take part, and their weights.
    fn counted(&self, tallies: &[Tally]) -> (Vec<u64>, Vec<f64>) {
        let on = tallies.iter().zip(&self.arms).filter(|(tally, _)| !tally.is_off);
        on.map(|(tally, arm)| (tally.units, f64::from(arm.weight))).unzip()
    }

    fn verdict(&self, tallies: &[Tally], seen: &[Seen], srm_p: f64, running: Duration) -> Verdict {
        let (counts, shares) = self.counted(tallies);
        if srm_p < MISMATCH && ratio_e_value(&counts, &shares) >= 1.0 / MISMATCH {
            return Verdict::Freeze(self.uneven(tallies, srm_p));
        }
        let Some(control) = tallies.first() else { return Verdict::Wait };
        let has_samples = |tally: &Tally| !tally.is_off && tally.goal.sums.n >= self.min_samples;
        if !has_samples(control) {
            return Verdict::Wait;
        }
        let p_values: Vec<f64> = seen[1..].iter().map(|arm| 1.0 / arm.e_value).collect();
        let (differs, suffers) = (holm(&p_values, self.alpha), holm(&p_values, 2.0 * self.alpha));
        let ready: Vec<usize> = (1..tallies.len()).filter(|place| has_samples(&tallies[*place])).collect();
        let harmed = self.harmed(tallies, seen, (&ready, &suffers));
        if let Some((_, reason)) = harmed.first() {
            let arms = harmed.iter().map(|(place, _)| self.arms[*place].name.clone()).collect();
            return Verdict::Harmed(arms, reason.clone());
        }
        if running < self.min_duration {
            return Verdict::Wait;
        }
        let is_safe = |place: &usize| self.is_safe(&tallies[*place], control);
        let better = ready.iter().copied().filter(|place| differs[place - 1] && seen[*place].gain.low > 0.0);
        let best = better.filter(is_safe).max_by(|a, b| seen[*a].gain.low.total_cmp(&seen[*b].gain.low));
        match best {
            Some(place) => Verdict::Won(
                self.arms[place].name.clone(),
                self.told(tallies, seen, (place, "is better than"), self.alpha),
            ),
            None => self.equivalent(tallies, seen, &ready),
        }
    }

    /// The arms that are worse than the control or break a guardrail, each with why. To be worse is looked for on one side alone: with
    /// the whole of α there, an arm that does harm ends sooner.
    fn harmed(&self, tallies: &[Tally], seen: &[Seen], (ready, suffers): (&[usize], &[bool])) -> Vec<(usize, String)> {
        let control = &tallies[0];
        let guards = crate::stats::real(self.guardrails.len().max(1) as u64);
        let sequence = self.sequence(self.alpha / guards);
        let why = |place: usize| {
            if suffers[place - 1] && seen[place].gain.low + seen[place].gain.high < 0.0 {
                return Some(self.told(tallies, seen, (place, "is worse than"), 2.0 * self.alpha));
            }
            let guards = self.guardrails.iter().zip(tallies[place].guards.iter().zip(&control.guards));
            let mut broken =
                guards.filter(|(guardrail, (of, from))| sequence.interval(&excess(guardrail, of, from)).low > 0.0);
            broken.next().map(|(guardrail, (of, from))| self.told_guard(place, guardrail, of, from))
        };
        ready.iter().filter_map(|place| why(*place).map(|why| (*place, why))).collect()
    }

    /// Whether an arm is shown to be within every guardrail.
    fn is_safe(&self, candidate: &Tally, control: &Tally) -> bool {
        let sequence = self.sequence(self.alpha);
        let guards = self.guardrails.iter().zip(candidate.guards.iter().zip(&control.guards));
        guards.filter(|(guardrail, (of, from))| sequence.interval(&excess(guardrail, of, from)).high >= 0.0).count()
            == 0
    }

    fn equivalent(&self, tallies: &[Tally], seen: &[Seen], ready: &[usize]) -> Verdict {
        let Some(margin) = self.goal.margin else { return Verdict::Wait };
        let on = (1..tallies.len()).filter(|place| !tallies[*place].is_off).count();
        let is_within = |place: &usize| seen[*place].gain.low > -margin && seen[*place].gain.high < margin;
        if ready.is_empty() || ready.len() < on || !ready.iter().all(is_within) {
            return Verdict::Wait;
        }
        Verdict::Equivalent(format!("no arm differs from the control in {} by {margin} or more", self.goal.metric))
    }

    fn told(&self, tallies: &[Tally], seen: &[Seen], (place, is): (usize, &str), alpha: f64) -> String {
        let (arm, control) = (&self.arms[place].name, &self.control().name);
        let Seen { gain, e_value, .. } = seen[place];
        let (low, high) = match self.goal.better {
            Better::Higher => (gain.low, gain.high),
            Better::Lower => (-gain.high, -gain.low),
        };
        let mean = |tally: &Tally| shown(tally.goal.sums.mean);
        format!(
            "{arm} {is} {control} in {}: {} against {} ({} and {} units), a difference from {} to {} at any look; e-value {}, decided at {}",
            self.told_goal(),
            mean(&tallies[place]),
            mean(&tallies[0]),
            tallies[place].goal.sums.n,
            tallies[0].goal.sums.n,
            shown(low),
            shown(high),
            shown(e_value),
            shown(1.0 / alpha),
        )
    }

    /// The goal in words: of a latency the samples are of its tail.
    fn told_goal(&self) -> String {
        match self.goal.metric {
            Metric::LatencyP95Ms => "the share of units above the control's latency_p95_ms".to_owned(),
            _ => self.goal.metric.to_string(),
        }
    }

    fn told_guard(&self, place: usize, guardrail: &Guardrail, of: &Samples, from: &Samples) -> String {
        let margin = match guardrail.margin {
            Margin::By(by) => shown(by),
            Margin::Part(part) => format!("{} %", shown(part * 100.0)),
        };
        let mut told = format!(
            "{} breaks the guardrail {}: worse than {} by more than {margin}",
            self.arms[place].name,
            guardrail.metric,
            self.control().name,
        );
        let (of, from) = (shown(of.sums.mean), shown(from.sums.mean));
        // Writing to a text does not fail.
        let _infallible = match guardrail.metric {
            Metric::LatencyP95Ms => {
                write!(told, " ({of} of its units are slower than that, where {from} are expected)")
            }
            _ => write!(told, " ({of} against {from})"),
        };
        told
    }

    fn uneven(&self, tallies: &[Tally], srm_p: f64) -> String {
        let counts = tallies.iter().zip(&self.arms).map(|(tally, arm)| format!("{} {}", arm.name, tally.units));
        format!(
            "the arms' units are not shared out by their weights (chi-squared p = {srm_p:.1e}): {}; see what loses requests of one arm before anything is concluded",
            counts.collect::<Vec<_>>().join(", ")
        )
    }
}

/// A figure with four significant digits.
fn shown(number: f64) -> String {
    if !number.is_finite() {
        return number.to_string();
    }
    if number.abs() >= 1e6 {
        return format!("{number:.2e}");
    }
    let digits = if number == 0.0 { 0.0 } else { (3.0 - number.abs().log10().floor()).clamp(0.0, 12.0) };
    let scale = 10f64.powf(digits);
    format!("{}", (number * scale).round() / scale)
}

#[cfg(test)]
mod tests;
