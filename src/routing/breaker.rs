//! The breaker of one target, for one caller's key or for all: closed, cooling, or letting a probe through. Pure:
//! outcomes and the time are its arguments.
//!
//! The breaker protects a target that is down or asked for a pause, so only the target's own faults count. Five faults cool
//! the target, unless they are more than a minute apart: a target with so few calls needs no protection. A good answer halves
//! the count, and where three of five answers are faults the target cools too, however they mix. The cooling doubles with every
//! failed probe. A refusal that names a time cools at once for that time; then the breaker reopens without a probe, since the
//! provider named the time. The beginning of a stream lets calls through again, but only its end is good or a fault. Rate limits (429) without one are counted apart from faults: they say nothing of the target's health.

use std::time::Duration;

use super::rate::Rate;
use crate::types::Timestamp;

/// So many faults cool.
const FAULTS: u32 = 5;
pub(super) const MEMORY: Duration = Duration::from_secs(60);
const FIRST_COOLING: Duration = Duration::from_secs(1);
const LONGEST_COOLING: Duration = Duration::from_secs(60);
/// The longest pause that a provider may ask for by a rate limit.
const LONGEST_QUIET: Duration = Duration::from_secs(3_600);
/// A probe without an outcome for so long is none: others may start, and what becomes of it decides nothing.
const PROBE_LEASE: Duration = Duration::from_secs(5);

/// A fault of the target. A caller's mistakes (4xx) and hang-ups are not faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 5xx, a broken or unreadable answer, or keys that the provider refuses.
    Broken,
    /// No answer in time: the target is down, or what was asked takes long.
    Slow,
    /// No connection, which nobody's request can be the cause of.
    Unreachable,
    /// A refusal for another reason than the rate of calls, which names a time to wait.
    Paused {
        /// The time.
        wait: Duration,
    },
    /// 429: calls come too fast.
    Throttled {
        /// The time to wait, where the provider names one.
        retry_after: Option<Duration>,
    },
}

/// Whether a target takes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The target takes calls.
    Healthy,
    /// The target has cooled: the next call is a probe.
    Ripe,
    /// A probe is under way, others wait.
    Probing,
    /// No calls until then.
    Cooling {
        /// When the target may be tried again.
        until: Timestamp,
    },
}

impl Standing {
    /// Whether a call may go to the target now.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Healthy | Self::Ripe)
    }
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { faults: Count },
    Throttled { since: Timestamp, until: Timestamp },
    Cooling { since: Timestamp, until: Timestamp, round: u32 },
    Probing { since: Timestamp, round: u32 },
}

/// A count that is forgotten after a minute without another.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    count: u32,
    last: Timestamp,
}

impl Count {
    fn next(self, now: Timestamp) -> u32 {
        if now - self.last >= MEMORY { 1 } else { self.count + 1 }
    }

    fn add(&mut self, now: Timestamp) -> u32 {
        *self = Self { count: self.next(now), last: now };
        self.count
    }

    fn is_idle(self, now: Timestamp) -> bool {
        self.count == 0 || now - self.last >= MEMORY
    }
}

/// The breaker of a target that has shown a fault; one without faults needs none.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    /// The outcomes of the last seconds, while the breaker is closed.
    rate: Rate,
    /// Rate limits that named no time.
    limits: Count,
    /// How many pauses they led to.
    pauses: u32,
    /// Until when the provider asked for quiet by a rate limit.
    quiet: Timestamp,
    /// Which cooling the next one is, where the last one ended at the beginning of a stream.
    round: u32,
}

impl Breaker {
    pub(super) fn new() -> Self {
        let state = State::Closed { faults: Count::default() };
        Self {
            state,
            rate: Rate::default(),
            limits: Count::default(),
            pauses: 0,
            quiet: Timestamp::default(),
            round: 0,
        }
    }

    pub(super) fn standing(&self, now: Timestamp) -> Standing {
        match self.state {
            State::Throttled { until, .. } | State::Cooling { until, .. } if now < until => Standing::Cooling { until },
            State::Probing { since, .. } if now - since < PROBE_LEASE => Standing::Probing,
            State::Cooling { .. } | State::Probing { .. } => Standing::Ripe,
            State::Closed { .. } | State::Throttled { .. } => Standing::Healthy,
        }
    }

    /// Until when the provider asked for quiet by a rate limit, where that has not passed.
    pub(super) fn quiet(&self, now: Timestamp) -> Option<Timestamp> {
        (now < self.quiet).then_some(self.quiet)
    }

    /// Takes the place of the probe, where one is due.
    pub(super) fn enter(&mut self, now: Timestamp) {
        if let (Standing::Ripe, State::Cooling { round, .. } | State::Probing { round, .. }) =
            (self.standing(now), self.state)
        {
            self.state = State::Probing { since: now, round };
        }
    }

    /// Whether the breaker holds no fault that counts.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        let is_idle = match self.state {
            State::Closed { faults } => faults.is_idle(now) && self.rate.is_idle(now),
            State::Throttled { until, .. } => now >= until,
            State::Cooling { .. } | State::Probing { .. } => false,
        };
        is_idle && self.limits.is_idle(now)
    }

    /// Whether faults are counted, and calls go freely.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed { .. })
    }

    /// Whether one more fault of this kind would cool.
    pub(super) fn is_at_brink(&self, fault: Fault, now: Timestamp) -> bool {
        match self.state {
            State::Closed { .. } if matches!(fault, Fault::Throttled { .. }) => self.limits.next(now) >= FAULTS,
            State::Closed { faults } => faults.next(now) >= FAULTS || self.rate.would_be_bad(now),
            State::Throttled { .. } | State::Cooling { .. } | State::Probing { .. } => false,
        }
    }

    /// The probe ended without an outcome for the target, such as by a caller's hang-up.
    pub(super) fn abandoned(&mut self, began: Timestamp, now: Timestamp) {
        if let State::Probing { since, round } = self.state
            && began >= since
        {
            self.state = State::Cooling { since, until: now, round };
        }
    }

    /// The target is known to be well again: the next call is a probe, whatever time is left.
    pub(super) fn ripen(&mut self, now: Timestamp) {
        if let State::Cooling { since, round, .. } = self.state
            && self.quiet(now).is_none()
        {
            self.state = State::Cooling { since, until: now, round };
        }
    }

    /// A call that began then was answered well. One that began before a cooling does not end it.
    pub(super) fn succeeded(&mut self, began: Timestamp, now: Timestamp) {
        match &mut self.state {
            State::Closed { faults } => {
                faults.count /= 2;
                self.round = 0;
                self.limits.count /= 2;
                self.rate.good(now);
            }
            State::Throttled { since, .. } | State::Cooling { since, .. } if began < *since => {}
            State::Throttled { .. } | State::Cooling { .. } | State::Probing { .. } => *self = Self::new(),
        }
    }

    /// A stream of a call that began then has begun. What it is worth shows at its end: that erases no fault, and a target that
    /// cooled takes calls again, and cools once more, for longer, where the next thing it shows is a fault.
    pub(super) fn begun(&mut self, began: Timestamp, now: Timestamp) {
        match self.state {
            State::Throttled { since, .. } | State::Cooling { since, .. } if began < since => {}
            State::Closed { .. } => {}
            State::Throttled { .. } => *self = Self::new(),
            State::Cooling { round, .. } | State::Probing { round, .. } => {
                let state = State::Closed { faults: Count { count: FAULTS - 1, last: now } };
                *self = Self { state, round: round.saturating_add(1), ..Self::new() };
            }
        }
    }

    /// A stream ended well. That ends no cooling which began while it ran.
    pub(super) fn ended_well(&mut self, now: Timestamp) {
        if self.is_closed() {
            self.succeeded(now, now);
        }
    }

    /// A call that began then showed a fault.
    pub(super) fn failed(&mut self, fault: Fault, began: Timestamp, now: Timestamp, chance: f64) {
        match fault {
            Fault::Throttled { retry_after: Some(wait) } => {
                self.quiet = self.quiet.max(now.plus(wait.min(LONGEST_QUIET)));
                self.throttled(self.quiet, now);
            }
            Fault::Paused { wait } => self.throttled(now.plus(wait.min(LONGEST_COOLING)), now),
            Fault::Throttled { retry_after: None } if self.takes_all(now) => self.limited(now, chance),
            Fault::Broken | Fault::Slow | Fault::Unreachable | Fault::Throttled { .. } => {
                self.broke(began, now, chance);
            }
        }
    }

    /// Whether calls go freely.
    fn takes_all(&self, now: Timestamp) -> bool {
        match self.state {
            State::Closed { .. } => true,
            State::Throttled { until, .. } => now >= until,
            State::Cooling { .. } | State::Probing { .. } => false,
        }
    }

    /// A rate limit named no time. The next one after the pause that follows of five makes one that is twice as long.
    fn limited(&mut self, now: Timestamp, chance: f64) {
        if self.limits.add(now) < FAULTS {
            return;
        }
        let until = now.plus(cooling(self.pauses, chance));
        self.limits = Count { count: FAULTS - 1, last: until };
        self.pauses = self.pauses.saturating_add(1);
        self.throttled(until, now);
    }

    fn broke(&mut self, began: Timestamp, now: Timestamp, chance: f64) {
        let cool = |round| State::Cooling { since: now, until: now.plus(cooling(round, chance)), round };
        match &mut self.state {
            State::Closed { faults } => {
                self.rate.bad(now);
                let round = if faults.is_idle(now) { 0 } else { self.round };
                if faults.add(now) >= FAULTS || self.rate.is_bad(now) {
                    self.state = cool(round);
                    self.rate = Rate::default();
                }
            }
            State::Throttled { until, .. } if now >= *until => {
                self.state = State::Closed { faults: Count { count: 1, last: now } };
                self.rate.bad(now);
            }
            State::Probing { since, round } if began >= *since && now - began < PROBE_LEASE => {
                self.state = cool(round.saturating_add(1));
            }
            // The failure of a call that began before the cooling, or took too long for a probe, changes nothing.
            State::Throttled { .. } | State::Cooling { .. } | State::Probing { .. } => {}
        }
    }

    fn throttled(&mut self, until: Timestamp, now: Timestamp) {
        self.state = match self.state {
            State::Cooling { until: longer, .. } | State::Throttled { until: longer, .. } if longer >= until => return,
            State::Cooling { round, .. } | State::Probing { round, .. } => State::Cooling { since: now, until, round },
            State::Closed { .. } | State::Throttled { .. } if until > now => State::Throttled { since: now, until },
            State::Closed { .. } | State::Throttled { .. } => return,
        };
    }
}

/// From 1 s doubling to 60 s; the upper half of each is drawn by chance.
fn cooling(round: u32, chance: f64) -> Duration {
    let whole = FIRST_COOLING.saturating_mul(1 << round.min(10)).min(LONGEST_COOLING);
    whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_000_000 * SECOND + seconds * SECOND)
    }

    fn fail(breaker: &mut Breaker, fault: Fault, now: Timestamp) {
        breaker.failed(fault, now, now, 1.0);
    }

    fn broken(times: u32, now: Timestamp) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..times {
            fail(&mut breaker, Fault::Broken, now);
        }
        breaker
    }

    fn enters(breaker: &mut Breaker, now: Timestamp) -> bool {
        let open = breaker.standing(now).is_open();
        breaker.enter(now);
        open
    }

    #[test]
    fn the_beginning_of_a_stream_opens_the_breaker_and_erases_no_fault() {
        let mut breaker = Breaker::new();
        for n in 0..5 {
            assert!(enters(&mut breaker, at(0)), "{n}");
            breaker.begun(at(0), at(0));
            fail(&mut breaker, Fault::Broken, at(0));
        }
        assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(1) });
        // Each probe begins well and breaks: the coolings get longer.
        assert!(enters(&mut breaker, at(1)) && breaker.standing(at(1)) == Standing::Probing);
        breaker.begun(at(1), at(1));
        assert_eq!(breaker.standing(at(1)), Standing::Healthy, "others are let through from the beginning on");
        fail(&mut breaker, Fault::Broken, at(2));
        assert_eq!(breaker.standing(at(2)), Standing::Cooling { until: at(4) });
        breaker.ended_well(at(3));
        assert_eq!(breaker.standing(at(3)), Standing::Cooling { until: at(4) }, "it began before");
        assert!(enters(&mut breaker, at(4)));
        breaker.begun(at(4), at(4));
        for _ in 0..3 {
            breaker.ended_well(at(5));
        }
        fail(&mut breaker, Fault::Broken, at(6));
        assert_eq!(breaker.standing(at(6)), Standing::Healthy);
    }

    #[test]
    fn five_faults_cool_and_four_do_not() {
        assert_eq!(broken(4, at(0)).standing(at(0)), Standing::Healthy);
        assert_eq!(broken(5, at(0)).standing(at(0)), Standing::Cooling { until: at(1) });
    }

    #[test]
    fn what_fails_more_often_than_not_cools_and_what_answers_as_often_does_not() {
        for (good, cools) in [(5, true), (3, true), (2, true), (1, false)] {
            let (mut breaker, mut cooled) = (Breaker::new(), false);
            for n in 0..60 {
                if n % (good + 1) == good {
                    breaker.succeeded(at(0), at(0));
                } else {
                    fail(&mut breaker, Fault::Broken, at(0));
                }
                cooled |= breaker.standing(at(0)) != Standing::Healthy;
            }
            assert_eq!(cooled, cools, "{good} faults to a good answer");
        }
    }

    #[test]
    fn faults_a_minute_apart_never_cool() {
        let mut breaker = Breaker::new();
        for minute in 0..20 {
            fail(&mut breaker, Fault::Broken, at(minute * 60));
        }
        assert_eq!(breaker.standing(at(19 * 60)), Standing::Healthy);
    }

    #[test]
    fn one_probe_goes_after_the_cooling() {
        let mut breaker = broken(5, at(0));
        assert!(!enters(&mut breaker, at(0)));
        assert_eq!(breaker.standing(at(1)), Standing::Ripe);
        assert!(enters(&mut breaker, at(1)) && !enters(&mut breaker, at(1)));
        assert_eq!(breaker.standing(at(1)), Standing::Probing);
    }

    #[test]
    fn three_faults_in_five_cool_however_they_mix() {
        for (faults, of, cools) in [(3, 5, true), (2, 3, true), (1, 2, false), (2, 5, false)] {
            let (mut breaker, mut cooled) = (Breaker::new(), false);
            for n in 0..120 {
                let now = Timestamp(at(0).0 + i64::from(n) * SECOND / 5);
                // Spread, so that no five stand in a row.
                if (n * faults) % of < faults {
                    fail(&mut breaker, Fault::Broken, now);
                } else {
                    breaker.succeeded(now, now);
                }
                cooled |= breaker.standing(now) != Standing::Healthy;
            }
            assert_eq!(cooled, cools, "{faults} faults of {of}");
        }
    }

    #[test]
    fn rate_limits_and_faults_are_counted_apart() {
        let mut breaker = Breaker::new();
        for _ in 0..4 {
            fail(&mut breaker, Fault::Throttled { retry_after: None }, at(0));
            fail(&mut breaker, Fault::Broken, at(0));
        }
        assert_eq!(breaker.standing(at(0)), Standing::Healthy);
        fail(&mut breaker, Fault::Throttled { retry_after: None }, at(0));
        assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(1) });
        assert_eq!(breaker.standing(at(1)), Standing::Healthy, "no probe: the target is well");
        fail(&mut breaker, Fault::Throttled { retry_after: None }, at(2));
        assert_eq!(breaker.standing(at(2)), Standing::Cooling { until: at(4) }, "each pause is twice as long");
        breaker.succeeded(at(2), at(5));
        fail(&mut breaker, Fault::Throttled { retry_after: None }, at(5));
        assert_eq!(breaker.standing(at(5)), Standing::Healthy);
    }

    #[test]
    fn quiet_is_what_a_rate_limit_asks_for() {
        let mut breaker = Breaker::new();
        fail(&mut breaker, Fault::Paused { wait: Duration::from_secs(9) }, at(0));
        assert_eq!((breaker.standing(at(0)), breaker.quiet(at(0))), (Standing::Cooling { until: at(9) }, None));
        fail(&mut breaker, Fault::Throttled { retry_after: Some(Duration::from_secs(20)) }, at(1));
        fail(&mut breaker, Fault::Throttled { retry_after: Some(Duration::from_secs(5)) }, at(2));
        assert_eq!((breaker.quiet(at(20)), breaker.quiet(at(21))), (Some(at(21)), None));
        breaker.ripen(at(3));
        assert_eq!(breaker.standing(at(3)), Standing::Cooling { until: at(21) });
        breaker.succeeded(at(3), at(4));
        assert_eq!((breaker.standing(at(4)), breaker.quiet(at(4))), (Standing::Healthy, None));
    }

    #[test]
    fn a_target_that_is_known_to_be_well_is_probed_at_once() {
        let mut breaker = broken(5, at(0));
        breaker.ripen(at(0));
        assert!(enters(&mut breaker, at(0)) && !enters(&mut breaker, at(0)));
    }

    #[test]
    fn each_failed_probe_doubles_the_cooling_up_to_a_minute() {
        let mut breaker = broken(5, at(0));
        let mut now = at(1);
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            assert!(enters(&mut breaker, now), "{seconds}");
            fail(&mut breaker, Fault::Slow, now);
            let until = now.plus(Duration::from_secs(seconds));
            assert_eq!(breaker.standing(now), Standing::Cooling { until });
            now = until;
        }
    }

    #[test]
    fn a_probe_that_takes_long_holds_nobody_back_and_decides_nothing() {
        let mut breaker = broken(5, at(0));
        assert!(enters(&mut breaker, at(1)));
        assert!(!enters(&mut breaker, at(5)));
        assert!(enters(&mut breaker, at(6)));
        breaker.failed(Fault::Slow, at(1), at(61), 1.0);
        assert!(breaker.standing(at(61)).is_open());
        breaker.succeeded(at(6), at(61));
        assert_eq!(breaker.standing(at(62)), Standing::Healthy);
    }

    #[test]
    fn jitter_takes_at_most_half_off() {
        let mut breaker = broken(4, at(0));
        breaker.failed(Fault::Broken, at(0), at(0), 0.0);
        assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(0).plus(Duration::from_millis(500)) });
    }

    #[test]
    fn an_abandoned_probe_makes_room_for_another() {
        let mut breaker = broken(5, at(0));
        assert!(enters(&mut breaker, at(1)));
        breaker.abandoned(at(1), at(2));
        assert!(enters(&mut breaker, at(2)) && !enters(&mut breaker, at(2)));
    }

    #[test]
    fn a_throttled_target_cools_for_the_time_it_names_and_reopens_without_a_probe() {
        for (asked, cooled) in [(7, 7), (60, 60), (3_600, 3_600), (100_000, 3_600)] {
            let mut breaker = Breaker::new();
            fail(&mut breaker, Fault::Throttled { retry_after: Some(Duration::from_secs(asked)) }, at(0));
            assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(cooled) });
            assert!((0..9).all(|_| enters(&mut breaker, at(cooled))));
        }
        let mut breaker = Breaker::new();
        fail(&mut breaker, Fault::Throttled { retry_after: Some(Duration::ZERO) }, at(0));
        assert_eq!(breaker.standing(at(0)), Standing::Healthy);
    }

    #[test]
    fn what_began_before_a_probe_or_a_cooling_decides_nothing() {
        let mut breaker = broken(5, at(0));
        assert!(enters(&mut breaker, at(1)));
        breaker.abandoned(at(0), at(1));
        breaker.failed(Fault::Slow, at(0), at(2), 1.0);
        assert_eq!(breaker.standing(at(2)), Standing::Probing);
        let mut breaker = broken(5, at(1));
        breaker.begun(at(0), at(1));
        assert_eq!(breaker.standing(at(1)), Standing::Cooling { until: at(2) });
    }

    #[test]
    fn a_good_answer_after_the_beginning_of_a_stream_makes_the_next_cooling_a_first_one() {
        let mut breaker = broken(5, at(0));
        assert!(enters(&mut breaker, at(1)));
        breaker.begun(at(1), at(1));
        breaker.succeeded(at(1), at(1));
        (0..3).for_each(|_| fail(&mut breaker, Fault::Broken, at(2)));
        assert_eq!(breaker.standing(at(2)), Standing::Cooling { until: at(3) });
    }

    #[test]
    fn a_target_that_asked_for_quiet_is_not_probed_before_that() {
        let mut breaker = broken(5, at(0));
        fail(&mut breaker, Fault::Throttled { retry_after: Some(Duration::from_secs(20)) }, at(0));
        breaker.ripen(at(1));
        assert_eq!(breaker.standing(at(1)), Standing::Cooling { until: at(20) });
    }

    #[test]
    fn each_pause_after_a_rate_limit_doubles_up_to_a_minute() {
        let mut breaker = Breaker::new();
        (0..4).for_each(|_| fail(&mut breaker, Fault::Throttled { retry_after: None }, at(0)));
        let mut now = at(0);
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            fail(&mut breaker, Fault::Throttled { retry_after: None }, now);
            let until = now.plus(Duration::from_secs(seconds));
            assert_eq!(breaker.standing(now), Standing::Cooling { until });
            now = until;
        }
        assert!(
            !breaker.is_idle(now) && breaker.is_idle(now.plus(MEMORY)),
            "its rate limits are remembered for a minute"
        );
    }

    #[test]
    fn a_pause_lasts_a_minute_at_most_and_is_not_shortened() {
        let mut breaker = Breaker::new();
        for (asked, at_least) in [(30, 30), (2, 30), (100_000, 60), (1, 60)] {
            fail(&mut breaker, Fault::Paused { wait: Duration::from_secs(asked) }, at(0));
            assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(at_least) }, "{asked}");
        }
    }

    #[test]
    fn five_throttles_without_a_time_cool() {
        let mut breaker = Breaker::new();
        for _ in 0..5 {
            fail(&mut breaker, Fault::Throttled { retry_after: None }, at(0));
        }
        assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(1) });
    }

    #[test]
    fn a_good_answer_closes_unless_it_began_before_the_cooling() {
        let mut breaker = broken(5, at(1));
        breaker.succeeded(at(0), at(1));
        assert_eq!(breaker.standing(at(1)), Standing::Cooling { until: at(2) });
        // One that was called all the same.
        breaker.succeeded(at(1), at(1));
        assert_eq!(breaker.standing(at(1)), Standing::Healthy);
        let mut breaker = broken(5, at(0));
        assert!(enters(&mut breaker, at(1)));
        breaker.succeeded(at(1), at(1));
        assert_eq!(breaker.standing(at(2)), Standing::Healthy);
    }

    #[test]
    fn a_longer_cooling_is_never_shortened() {
        let mut breaker = Breaker::new();
        fail(&mut breaker, Fault::Throttled { retry_after: Some(Duration::from_secs(30)) }, at(0));
        fail(&mut breaker, Fault::Throttled { retry_after: Some(Duration::from_secs(2)) }, at(1));
        fail(&mut breaker, Fault::Broken, at(2));
        assert_eq!(breaker.standing(at(2)), Standing::Cooling { until: at(30) });
    }
}
