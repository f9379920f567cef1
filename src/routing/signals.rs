//! What is measured of targets: calls under way, and the time to the first token. Kept over reloads, for targets of routes whose
//! strategy reads it and for no others.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::target::Target;
use crate::types::{QuickMap, Timestamp};

/// The time in which a sample loses half of its weight.
const HALF_LIFE: Duration = Duration::from_secs(30);

/// The most that the samples before count for against a new one: a figure follows its last 16 samples at least.
const MOST_WEIGHT: f32 = 15.0;

/// How old a figure gets before it counts no more.
pub const FRESH: Duration = Duration::from_secs(120);

/// The share of calls that go to targets whose figure does not count, while there are some.
pub(super) const PROBED: f64 = 0.05;

/// What a failed call counts as at least: one whose first token took so long.
const FAILED: Duration = Duration::from_secs(10);

/// The longest time that counts.
const LONGEST: Duration = Duration::from_secs(600);

/// A call that was given up before its first token says something of a target without a figure only after so long.
const TELLING: Duration = Duration::from_secs(1);

/// The most targets that are measured at once.
const MOST: usize = 4_096;

/// A mean of times whose samples lose their weight with age.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Mean {
    micros: f32,
    weight: f32,
    at: Timestamp,
}

impl Mean {
    /// The mean with one more sample. One that counts no more is forgotten, so that a target which recovered is known as it is.
    fn plus(self, sample: Duration, now: Timestamp) -> Self {
        let age = now - self.at;
        let left = if age < FRESH { 0.5f32.powf(age.as_secs_f32() / HALF_LIFE.as_secs_f32()) } else { 0.0 };
        let weight = (self.weight * left).min(MOST_WEIGHT) + 1.0;
        let sample = sample.min(LONGEST).as_secs_f32() * 1e6;
        Self { micros: self.micros + (sample - self.micros) / weight, weight, at: now }
    }

    /// What it shows; `None` before the first sample.
    fn figure(self, now: Timestamp) -> Option<Figure> {
        let time = Duration::try_from_secs_f32(self.micros / 1e6).ok()?;
        (self.weight > 0.0).then(|| Figure { time, age: now - self.at })
    }
}

/// A measured time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// The mean of the samples.
    pub time: Duration,
    /// Since the last sample.
    pub age: Duration,
}

impl Figure {
    /// Whether it is new enough to count.
    #[must_use]
    pub fn is_fresh(self) -> bool {
        self.age < FRESH
    }
}

/// A [`Mean`] that many calls note samples in at once, without a lock. Of two samples of the same moment, one may count for a
/// little less.
#[derive(Debug, Default)]
struct SharedMean {
    /// `micros` and `weight`, as bits.
    packed: AtomicU64,
    at: AtomicI64,
}

impl SharedMean {
    fn load(&self) -> Mean {
        unpacked(self.packed.load(Ordering::Acquire), Timestamp(self.at.load(Ordering::Acquire)))
    }

    fn note(&self, sample: Duration, now: Timestamp) {
        let at = Timestamp(self.at.swap(now.0, Ordering::AcqRel));
        let mut known = self.packed.load(Ordering::Acquire);
        loop {
            let next = packed(unpacked(known, at).plus(sample, now));
            match self.packed.compare_exchange_weak(known, next, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return,
                Err(other) => known = other,
            }
        }
    }
}

fn packed(mean: Mean) -> u64 {
    u64::from(mean.micros.to_bits()) << 32 | u64::from(mean.weight.to_bits())
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are taken apart")]
fn unpacked(packed: u64, at: Timestamp) -> Mean {
    Mean { micros: f32::from_bits((packed >> 32) as u32), weight: f32::from_bits(packed as u32), at }
}

/// What is measured of one target.
#[derive(Debug, Default)]
struct Signal {
    in_flight: AtomicUsize,
    /// Of whole answers, whose first byte comes when all of it is made, and of streams.
    first_token: [SharedMean; 2],
}

/// What is measured of targets.
#[derive(Debug, Default)]
pub struct Signals {
    targets: ArcSwap<QuickMap<Arc<str>, Arc<Signal>>>,
}

/// What is known of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetSignals {
    /// `provider/model`.
    pub target: Arc<str>,
    /// Calls under way.
    pub in_flight: usize,
    /// Time to the first token of streams.
    pub stream: Option<Figure>,
    /// Time to the first byte of whole answers.
    pub whole: Option<Figure>,
}

impl Signals {
    /// A call goes to `target`: it counts as under way until what this returns is dropped.
    #[must_use]
    pub fn enter(&self, target: &Target, is_stream: bool) -> Underway {
        let signal = self.of(&target.id);
        signal.in_flight.fetch_add(1, Ordering::AcqRel);
        Underway { signal, is_stream }
    }

    /// How many calls of `target` are under way, of those that are measured.
    #[must_use]
    pub fn in_flight(&self, target: &Target) -> usize {
        self.targets.load().get(&target.id).map_or(0, |signal| signal.in_flight.load(Ordering::Acquire))
    }

    /// The time to the first token of `target`'s streams, or to the first byte of its whole answers.
    #[must_use]
    pub fn first_token(&self, target: &Target, is_stream: bool, now: Timestamp) -> Option<Figure> {
        self.targets.load().get(&target.id)?.first_token[usize::from(is_stream)].load().figure(now)
    }

    /// Every target that is measured, by name.
    #[must_use]
    pub fn list(&self, now: Timestamp) -> Vec<TargetSignals> {
        let targets = self.targets.load();
        let mut rows: Vec<_> = targets.iter().map(|(target, signal)| signal.row(target.clone(), now)).collect();
        rows.sort_by(|a, b| a.target.cmp(&b.target));
        rows
    }

    /// What is measured of a target. Where too many are measured, those that nobody calls are forgotten; where all are called,
    /// this one stands apart.
    fn of(&self, id: &Arc<str>) -> Arc<Signal> {
        if let Some(signal) = self.targets.load().get(id) {
            return signal.clone();
        }
        let made = Arc::new(Signal::default());
        self.targets.rcu(|targets| {
            let mut targets = QuickMap::clone(targets);
            if targets.len() >= MOST {
                targets.retain(|_, signal| signal.in_flight.load(Ordering::Acquire) > 0);
            }
            if targets.len() < MOST {
                targets.entry(id.clone()).or_insert_with(|| made.clone());
            }
            targets
        });
        self.targets.load().get(id).cloned().unwrap_or(made)
    }
}

impl Signal {
    fn row(&self, target: Arc<str>, now: Timestamp) -> TargetSignals {
        let [whole, stream] = [0, 1].map(|kind| self.first_token[kind].load().figure(now));
        TargetSignals { target, in_flight: self.in_flight.load(Ordering::Acquire), stream, whole }
    }
}

/// A call under way, which is measured. At most one of its ends is noted, and one that broke off behind its first token.
#[derive(Debug)]
pub struct Underway {
    signal: Arc<Signal>,
    is_stream: bool,
}

impl Underway {
    /// The first token came `after` the call was sent.
    pub fn answered(&self, after: Duration, now: Timestamp) {
        self.mean().note(after, now);
    }

    /// The target failed: that counts as a first token that took [`FAILED`], and more than those before it, so that a target
    /// which fails at once looks slow.
    pub fn failed(&self, after: Duration, now: Timestamp) {
        let known = self.mean().load().figure(now).map_or(Duration::ZERO, |figure| figure.time);
        self.mean().note(after.max(FAILED).max(known * 2), now);
    }

    /// The target failed after its first token: that counts as two failures, which outweigh the token's time.
    pub fn broke(&self, now: Timestamp) {
        self.failed(Duration::ZERO, now);
        self.failed(Duration::ZERO, now);
    }

    /// The answer says nothing, so it has no first token: only a target of which no speed is known looks slow by it.
    pub fn said_nothing(&self, now: Timestamp) {
        if !self.mean().load().figure(now).is_some_and(Figure::is_fresh) {
            self.failed(Duration::ZERO, now);
        }
    }

    /// The caller went before a first token came: it takes longer than that. Noted where that is news.
    pub fn given_up(&self, after: Duration, now: Timestamp) {
        let known = self.mean().load().figure(now).filter(|figure| figure.is_fresh());
        if after > known.map_or(TELLING, |figure| figure.time) {
            self.mean().note(after, now);
        }
    }

    fn mean(&self) -> &SharedMean {
        &self.signal.first_token[usize::from(self.is_stream)]
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        self.signal.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp(1_795_427_193_000_000);

    fn target(model: &str) -> Target {
        Target::of("p", model)
    }

    fn millis(signals: &Signals, is_stream: bool, now: Timestamp) -> Option<u128> {
        signals.first_token(&target("a"), is_stream, now).map(|figure| (figure.time.as_micros() + 500) / 1_000)
    }

    #[test]
    fn a_call_is_under_way_until_its_guard_drops_also_in_a_panic() {
        let signals = Signals::default();
        let one = signals.enter(&target("a"), true);
        let two = signals.enter(&target("a"), false);
        assert_eq!((signals.in_flight(&target("a")), signals.in_flight(&target("b"))), (2, 0));
        drop(one);
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _three = signals.enter(&target("a"), true);
            assert_eq!(signals.in_flight(&target("a")), 2);
            std::panic::resume_unwind(Box::new(()));
        }));
        assert!(panicked.is_err());
        drop(two);
        assert_eq!(signals.in_flight(&target("a")), 0);
    }

    #[test]
    fn an_old_figure_loses_to_a_new_one() {
        let signals = Signals::default();
        let call = signals.enter(&target("a"), true);
        assert_eq!(millis(&signals, true, NOW), None);
        call.answered(Duration::from_millis(100), NOW);
        assert_eq!((millis(&signals, true, NOW), millis(&signals, false, NOW)), (Some(100), None));
        // Two at once count alike; after a half-life the two together weigh as much as the new one.
        call.answered(Duration::from_millis(300), NOW);
        assert_eq!(millis(&signals, true, NOW), Some(200));
        call.answered(Duration::from_millis(600), NOW.plus(HALF_LIFE));
        assert_eq!(millis(&signals, true, NOW.plus(HALF_LIFE)), Some(400));
        let later = NOW.plus(HALF_LIFE + FRESH);
        let figure = signals.first_token(&target("a"), true, later).unwrap();
        assert!(!figure.is_fresh() && figure.age == FRESH);
        call.answered(Duration::from_millis(50), later);
        assert_eq!(millis(&signals, true, later), Some(50));
    }

    #[test]
    fn a_busy_targets_figure_follows_its_last_calls() {
        let signals = Signals::default();
        let call = signals.enter(&target("a"), true);
        (0..10_000).for_each(|_| call.answered(Duration::from_millis(100), NOW));
        (0..32).for_each(|_| call.answered(Duration::from_secs(2), NOW));
        assert!(millis(&signals, true, NOW).unwrap() > 1_700);
    }

    #[test]
    fn a_target_that_fails_at_once_looks_slow() {
        let signals = Signals::default();
        let call = signals.enter(&target("a"), true);
        call.failed(Duration::from_millis(1), NOW);
        assert_eq!(millis(&signals, true, NOW), Some(10_000));
        // Each failure counts for more than what is known, so no slow target is taken for slower than one that only fails.
        (0..40).for_each(|_| call.failed(Duration::ZERO, NOW));
        assert!(millis(&signals, true, NOW).unwrap() > 60_000);
        (0..1_000).for_each(|_| call.failed(Duration::ZERO, NOW));
        assert!(signals.first_token(&target("a"), true, NOW).unwrap().time <= LONGEST);
    }

    #[test]
    fn a_target_that_begins_at_once_and_breaks_looks_slow() {
        let signals = Signals::default();
        let call = signals.enter(&target("a"), true);
        let mut last = 0;
        for _ in 0..12 {
            call.answered(Duration::from_millis(1), NOW);
            call.broke(NOW);
            let time = millis(&signals, true, NOW).unwrap();
            assert!(time > last && time > 6_000, "{time} after {last}");
            last = time;
        }
    }

    #[test]
    fn an_answer_that_says_nothing_is_never_fast() {
        let signals = Signals::default();
        let call = signals.enter(&target("a"), true);
        call.said_nothing(NOW);
        assert_eq!(millis(&signals, true, NOW), Some(10_000));
        let later = NOW.plus(FRESH);
        call.answered(Duration::from_millis(300), later);
        call.said_nothing(later);
        assert_eq!(millis(&signals, true, later), Some(300));
    }

    #[test]
    fn a_caller_that_goes_says_that_it_takes_longer_and_never_that_it_is_fast() {
        let signals = Signals::default();
        let call = signals.enter(&target("a"), true);
        call.given_up(Duration::from_millis(900), NOW);
        assert_eq!(millis(&signals, true, NOW), None);
        call.given_up(Duration::from_secs(5), NOW);
        assert_eq!(millis(&signals, true, NOW), Some(5_000));
        call.given_up(Duration::from_millis(4_999), NOW);
        assert_eq!(millis(&signals, true, NOW), Some(5_000));
        call.given_up(Duration::from_secs(7), NOW);
        assert_eq!(millis(&signals, true, NOW), Some(6_000));
    }

    #[test]
    fn the_targets_that_are_measured_are_bounded_and_those_under_way_stay() {
        let signals = Signals::default();
        let held = signals.enter(&target("held"), true);
        (0..MOST + 10).for_each(|n| drop(signals.enter(&target(&n.to_string()), true)));
        assert!(signals.list(NOW).len() <= MOST);
        assert_eq!(signals.in_flight(&target("held")), 1);
        drop(held);
        assert_eq!(signals.list(NOW).iter().map(|row| row.in_flight).sum::<usize>(), 0);
    }

    proptest! {
        #[test]
        fn a_figure_lies_between_its_samples(samples in proptest::collection::vec((1u64..600_000, 0u64..300), 1..50)) {
            let (mut mean, mut now) = (Mean::default(), NOW);
            for (millis, seconds) in &samples {
                now = now.plus(Duration::from_secs(*seconds));
                mean = mean.plus(Duration::from_millis(*millis), now);
            }
            let figure = mean.figure(now).unwrap().time.as_secs_f64() * 1e3;
            let least = samples.iter().map(|(millis, _)| *millis).min().unwrap() as f64;
            let most = samples.iter().map(|(millis, _)| *millis).max().unwrap() as f64;
            prop_assert!(figure >= least * 0.999 && figure <= most * 1.001, "{least} {figure} {most}");
            prop_assert_eq!(unpacked(packed(mean), mean.at), mean);
        }
    }
}
