//! The breaker of one target: closed, cooling, or letting a single probe through. Pure: outcomes and the time are its arguments.
//!
//! The breaker protects a target that is down or asked for a pause, so only the target's own faults count. Five faults in a
//! row cool the target, unless they are more than a minute apart: a target with so few calls needs no protection. The
//! cooling doubles with every failed probe. A 429 that names a time cools at once for that time; then the breaker reopens
//! without a probe, since the provider named the time.

use std::time::Duration;

use crate::types::Timestamp;

const FAULTS_IN_A_ROW: u32 = 5;
const MEMORY: Duration = Duration::from_secs(60);
const FIRST_COOLING: Duration = Duration::from_secs(1);
const LONGEST_COOLING: Duration = Duration::from_secs(60);
/// A probe without an outcome for so long counts as lost, and another may start.
const PROBE_LEASE: Duration = Duration::from_secs(60);

/// A fault of the target. A caller's mistakes (4xx) and hang-ups are not faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 5xx, a transport failure, a timeout, an unreadable answer, or keys that the provider refuses.
    Broken,
    /// 429, with the time that the provider asked to wait.
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
    /// The target has cooled: the next call is the probe.
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
    Closed { faults: u32, last: Timestamp },
    Throttled { until: Timestamp },
    Cooling { until: Timestamp, round: u32 },
    Probing { since: Timestamp, round: u32 },
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
            State::Throttled { until } | State::Cooling { until, .. } if now < until => Standing::Cooling { until },
            State::Probing { since, .. } if now - since < PROBE_LEASE => Standing::Probing,
            State::Cooling { .. } | State::Probing { .. } => Standing::Ripe,
            State::Closed { .. } | State::Throttled { .. } => Standing::Healthy,
        }
    }

    /// Whether a call may start; takes the probe where one is due.
    pub(super) fn enter(&mut self, now: Timestamp) -> bool {
        let standing = self.standing(now);
        if let (Standing::Ripe, State::Cooling { round, .. } | State::Probing { round, .. }) = (standing, self.0) {
            self.0 = State::Probing { since: now, round };
        }
        standing.is_open()
    }

    /// Whether the breaker still holds a fault that counts.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        match self.0 {
            State::Closed { last, .. } => now - last >= MEMORY,
            State::Throttled { until } => now >= until,
            State::Cooling { .. } | State::Probing { .. } => false,
        }
    }

    /// A probe ended without an outcome for the target, such as by a caller's hang-up.
    pub(super) fn abandoned(&mut self, now: Timestamp) {
        if let State::Probing { round, .. } = self.0 {
            self.0 = State::Cooling { until: now, round };
        }
    }

    /// Whether a good answer closes the breaker. A call that began before a cooling does not end it.
    pub(super) fn closes(&self, now: Timestamp) -> bool {
        matches!(self.0, State::Probing { .. }) || self.standing(now) == Standing::Healthy
    }

    pub(super) fn failed(&mut self, fault: Fault, now: Timestamp, chance: f64) {
        if let Fault::Throttled { retry_after: Some(wait) } = fault {
            return self.throttled(now.plus(wait.min(LONGEST_COOLING)), now);
        }
        self.0 = match self.0 {
            State::Closed { faults, last } => {
                let faults = if now - last >= MEMORY { 1 } else { faults + 1 };
                if faults < FAULTS_IN_A_ROW {
                    State::Closed { faults, last: now }
                } else {
                    State::Cooling { until: now.plus(cooling(0, chance)), round: 0 }
                }
            }
            State::Throttled { until } if now >= until => State::Closed { faults: 1, last: now },
            State::Probing { round, .. } => {
                let round = round.saturating_add(1);
                State::Cooling { until: now.plus(cooling(round, chance)), round }
            }
            // The failure of a call that began before the cooling changes nothing.
            State::Throttled { .. } | State::Cooling { .. } => return,
        };
    }

    fn throttled(&mut self, until: Timestamp, now: Timestamp) {
        self.0 = match self.0 {
            State::Cooling { until: longer, .. } | State::Throttled { until: longer } if longer >= until => return,
            State::Cooling { round, .. } | State::Probing { round, .. } => State::Cooling { until, round },
            State::Closed { .. } | State::Throttled { .. } if until > now => State::Throttled { until },
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

    fn broken(times: u32, now: Timestamp) -> Breaker {
        let mut breaker = Breaker::new();
        for _ in 0..times {
            breaker.failed(Fault::Broken, now, 1.0);
        }
        breaker
    }

    #[test]
    fn five_faults_in_a_row_cool_and_four_do_not() {
        assert_eq!(broken(4, at(0)).standing(at(0)), Standing::Healthy);
        assert_eq!(broken(5, at(0)).standing(at(0)), Standing::Cooling { until: at(1) });
    }

    #[test]
    fn faults_a_minute_apart_never_cool() {
        let mut breaker = Breaker::new();
        for minute in 0..20 {
            breaker.failed(Fault::Broken, at(minute * 60), 1.0);
        }
        assert_eq!(breaker.standing(at(19 * 60)), Standing::Healthy);
    }

    #[test]
    fn a_single_probe_goes_after_the_cooling() {
        let mut breaker = broken(5, at(0));
        assert!(!breaker.enter(at(0)));
        assert_eq!(breaker.standing(at(1)), Standing::Ripe);
        assert!(breaker.enter(at(1)));
        assert!(!breaker.enter(at(1)));
        assert_eq!(breaker.standing(at(1)), Standing::Probing);
    }

    #[test]
    fn each_failed_probe_doubles_the_cooling_up_to_a_minute() {
        let mut breaker = broken(5, at(0));
        let mut now = at(1);
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            assert!(breaker.enter(now), "{seconds}");
            breaker.failed(Fault::Broken, now, 1.0);
            let until = now.plus(Duration::from_secs(seconds));
            assert_eq!(breaker.standing(now), Standing::Cooling { until });
            now = until;
        }
    }

    #[test]
    fn jitter_takes_at_most_half_off() {
        let mut breaker = broken(4, at(0));
        breaker.failed(Fault::Broken, at(0), 0.0);
        assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(0).plus(Duration::from_millis(500)) });
    }

    #[test]
    fn an_abandoned_or_lost_probe_makes_room_for_another() {
        let mut breaker = broken(5, at(0));
        assert!(breaker.enter(at(1)));
        breaker.abandoned(at(2));
        assert!(breaker.enter(at(2)));
        assert!(!breaker.enter(at(61)));
        assert!(breaker.enter(at(62)));
    }

    #[test]
    fn a_throttled_target_cools_for_the_time_it_names_and_reopens_without_a_probe() {
        for (asked, cooled) in [(7, 7), (60, 60), (3_600, 60)] {
            let mut breaker = Breaker::new();
            breaker.failed(Fault::Throttled { retry_after: Some(Duration::from_secs(asked)) }, at(0), 0.5);
            assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(cooled) });
            assert!(breaker.enter(at(cooled)) && breaker.enter(at(cooled)));
        }
        let mut breaker = Breaker::new();
        breaker.failed(Fault::Throttled { retry_after: Some(Duration::ZERO) }, at(0), 0.5);
        assert_eq!(breaker.standing(at(0)), Standing::Healthy);
    }

    #[test]
    fn a_throttle_without_a_time_counts_like_any_fault() {
        let mut breaker = Breaker::new();
        for _ in 0..5 {
            breaker.failed(Fault::Throttled { retry_after: None }, at(0), 1.0);
        }
        assert_eq!(breaker.standing(at(0)), Standing::Cooling { until: at(1) });
    }

    #[test]
    fn a_good_answer_closes_unless_it_began_before_the_cooling() {
        assert!(broken(4, at(0)).closes(at(0)));
        let mut breaker = broken(5, at(0));
        assert!(!breaker.closes(at(0)));
        assert!(breaker.enter(at(1)) && breaker.closes(at(1)));
    }

    #[test]
    fn a_longer_cooling_is_never_shortened() {
        let mut breaker = Breaker::new();
        breaker.failed(Fault::Throttled { retry_after: Some(Duration::from_secs(30)) }, at(0), 0.5);
        breaker.failed(Fault::Throttled { retry_after: Some(Duration::from_secs(2)) }, at(1), 0.5);
        breaker.failed(Fault::Broken, at(2), 0.5);
        assert_eq!(breaker.standing(at(2)), Standing::Cooling { until: at(30) });
    }
}
