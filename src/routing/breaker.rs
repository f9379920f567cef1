//! The breaker of one target, for one caller's key or for all: closed, cooling, or letting a few probes through. Pure:
//! outcomes and the time are its arguments.
//!
//! The breaker protects a target that is down or asked for a pause, so only the target's own faults count. Five faults cool
//! the target, unless they are more than a minute apart: a target with so few calls needs no protection. A good answer halves
//! the count, so a target that fails more often than not cools too. The cooling doubles with every failed probe. A refusal
//! that names a time cools at once for that time; then the breaker reopens without a probe, since the provider named the time.

use std::time::Duration;

use crate::types::Timestamp;

/// So many faults cool.
const FAULTS: u32 = 5;
pub(super) const MEMORY: Duration = Duration::from_secs(60);
const FIRST_COOLING: Duration = Duration::from_secs(1);
const LONGEST_COOLING: Duration = Duration::from_secs(60);
/// Probes at once: a single one may be a call that takes long whatever the target does.
const PROBES: u32 = 3;
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
    /// 429, or another refusal that names a time to wait.
    Throttled {
        /// The time; `None` counts like [`Fault::Broken`].
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
    /// Probes are under way, others wait.
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
    Closed { faults: u32, last: Timestamp },
    Throttled { since: Timestamp, until: Timestamp },
    Cooling { since: Timestamp, until: Timestamp, round: u32 },
    Probing { since: Timestamp, open: u32, round: u32 },
}

/// The breaker of a target that has shown a fault; one without faults needs none.
#[derive(Debug)]
pub(super) struct Breaker(State);

impl Breaker {
    pub(super) fn new() -> Self {
        Self(State::Closed { faults: 0, last: Timestamp::default() })
    }

    pub(super) fn standing(&self, now: Timestamp) -> Standing {
        match self.0 {
            State::Throttled { until, .. } | State::Cooling { until, .. } if now < until => Standing::Cooling { until },
            State::Probing { since, open, .. } if open >= PROBES && now - since < PROBE_LEASE => Standing::Probing,
            State::Cooling { .. } | State::Probing { .. } => Standing::Ripe,
            State::Closed { .. } | State::Throttled { .. } => Standing::Healthy,
        }
    }

    /// Takes the place of a probe, where one is due.
    pub(super) fn enter(&mut self, now: Timestamp) {
        self.0 = match (self.standing(now), self.0) {
            (Standing::Ripe, State::Probing { since, open, round }) if now - since < PROBE_LEASE => {
                State::Probing { since, open: open + 1, round }
            }
            (Standing::Ripe, State::Cooling { round, .. } | State::Probing { round, .. }) => {
                State::Probing { since: now, open: 1, round }
            }
            (_, state) => state,
        };
    }

    /// Whether the breaker holds no fault that counts.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        match self.0 {
            State::Closed { faults, last } => faults == 0 || now - last >= MEMORY,
            State::Throttled { until, .. } => now >= until,
            State::Cooling { .. } | State::Probing { .. } => false,
        }
    }

    /// Whether faults are counted, and calls go freely.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.0, State::Closed { .. })
    }

    /// Whether one more fault of a kind that cools by count would cool.
    pub(super) fn is_at_brink(&self, now: Timestamp) -> bool {
        match self.0 {
            State::Closed { faults, last } => faults + 1 >= FAULTS && now - last < MEMORY,
            State::Throttled { .. } | State::Cooling { .. } | State::Probing { .. } => false,
        }
    }

    /// A probe ended without an outcome for the target, such as by a caller's hang-up.
    pub(super) fn abandoned(&mut self, began: Timestamp, now: Timestamp) {
        if let State::Probing { since, open, round } = self.0
            && began >= since
        {
            self.0 = match open {
                0 | 1 => State::Cooling { since, until: now, round },
                open => State::Probing { since, open: open - 1, round },
            };
        }
    }

    /// A call that began then was answered well. One that began before a cooling does not end it.
    pub(super) fn succeeded(&mut self, began: Timestamp) {
        self.0 = match self.0 {
            State::Closed { faults, last } => State::Closed { faults: faults / 2, last },
            State::Throttled { since, .. } | State::Cooling { since, .. } if began < since => return,
            State::Throttled { .. } | State::Cooling { .. } | State::Probing { .. } => Self::new().0,
        };
    }

    /// A call that began then showed a fault.
    pub(super) fn failed(&mut self, fault: Fault, began: Timestamp, now: Timestamp, chance: f64) {
        if let Fault::Throttled { retry_after: Some(wait) } = fault {
            return self.throttled(now.plus(wait.min(LONGEST_COOLING)), now);
        }
        self.0 = match self.0 {
            State::Closed { faults, last } => {
                let faults = if now - last >= MEMORY { 1 } else { faults + 1 };
                if faults < FAULTS {
                    State::Closed { faults, last: now }
                } else {
                    State::Cooling { since: now, until: now.plus(cooling(0, chance)), round: 0 }
                }
            }
            State::Throttled { until, .. } if now >= until => State::Closed { faults: 1, last: now },
            State::Probing { since, round, .. } if began >= since && now - began < PROBE_LEASE => {
                let round = round.saturating_add(1);
                State::Cooling { since: now, until: now.plus(cooling(round, chance)), round }
            }
            // The failure of a call that began before the cooling, or took too long for a probe, changes nothing.
            State::Throttled { .. } | State::Cooling { .. } | State::Probing { .. } => return,
        };
    }

    fn throttled(&mut self, until: Timestamp, now: Timestamp) {
        self.0 = match self.0 {
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
    fn five_faults_cool_and_four_do_not() {
        assert_eq!(broken(4, at(0)).standing(at(0)), Standing::Healthy);
        assert_eq!(broken(5, at(0)).standing(at(0)), Standing::Cooling { until: at(1) });
    }

    #[test]
    fn what_fails_more_often_than_not_cools_and_what_answers_as_often_does_not() {
        for (good, cools) in [(5, true), (3, true), (1, false)] {
            let (mut breaker, mut cooled) = (Breaker::new(), false);
            for n in 0..60 {
                if n % (good + 1) == good {
                    breaker.succeeded(at(0));
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
    fn a_few_probes_go_after_the_cooling() {
        let mut breaker = broken(5, at(0));
        assert!(!enters(&mut breaker, at(0)));
        assert_eq!(breaker.standing(at(1)), Standing::Ripe);
        assert!((0..3).all(|_| enters(&mut breaker, at(1))));
        assert!(!enters(&mut breaker, at(1)));
        assert_eq!(breaker.standing(at(1)), Standing::Probing);
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
        assert!((0..3).all(|_| enters(&mut breaker, at(1))));
        assert!(!enters(&mut breaker, at(5)));
        assert!(enters(&mut breaker, at(6)));
        breaker.failed(Fault::Slow, at(1), at(61), 1.0);
        assert!(breaker.standing(at(61)).is_open());
        breaker.succeeded(at(6));
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
        assert!((0..3).all(|_| enters(&mut breaker, at(1))));
        breaker.abandoned(at(1), at(2));
        assert!(enters(&mut breaker, at(2)) && !enters(&mut breaker, at(2)));
    }

    #[test]
    fn a_throttled_target_cools_for_the_time_it_names_and_reopens_without_a_probe() {
        for (asked, cooled) in [(7, 7), (60, 60), (3_600, 60)] {
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
    fn a_throttle_without_a_time_counts_like_any_fault() {
        let mut breaker = Breaker::new();
        for _ in 0..5 {
            fail(&mut breaker, Fault::Throttled { retry_after: None }, at(0));
        }
        assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(1) });
    }

    #[test]
    fn a_good_answer_closes_unless_it_began_before_the_cooling() {
        let mut breaker = broken(5, at(1));
        breaker.succeeded(at(0));
        assert_eq!(breaker.standing(at(1)), Standing::Cooling { until: at(2) });
        // One that was called all the same.
        breaker.succeeded(at(1));
        assert_eq!(breaker.standing(at(1)), Standing::Healthy);
        let mut breaker = broken(5, at(0));
        assert!(enters(&mut breaker, at(1)));
        breaker.succeeded(at(1));
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
