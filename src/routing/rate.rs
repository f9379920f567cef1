//! How many of a target's last answers were faults: counted over 15 to 30 seconds. Pure.

use std::time::Duration;

use crate::types::Timestamp;

/// Half of the longest time that is looked back on.
const HALF: Duration = Duration::from_secs(15);

/// Fewer answers show no rate.
const LEAST: u32 = 10;

/// The outcomes of this half of the window, and of the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    began: Timestamp,
    good: u32,
    bad: u32,
    good_before: u32,
    bad_before: u32,
}

impl Rate {
    /// Counts a good answer.
    pub(super) fn good(&mut self, now: Timestamp) {
        self.turn(now);
        self.good = self.good.saturating_add(1);
    }

    /// Counts a fault.
    pub(super) fn bad(&mut self, now: Timestamp) {
        self.turn(now);
        self.bad = self.bad.saturating_add(1);
    }

    /// Whether at least three answers of five are faults, of ten answers or more.
    pub(super) fn is_bad(mut self, now: Timestamp) -> bool {
        self.turn(now);
        let bad = self.bad.saturating_add(self.bad_before);
        let all = bad.saturating_add(self.good).saturating_add(self.good_before);
        all >= LEAST && u64::from(bad) * 5 >= u64::from(all) * 3
    }

    /// Whether one more fault would make it bad.
    pub(super) fn would_be_bad(mut self, now: Timestamp) -> bool {
        self.bad(now);
        self.is_bad(now)
    }

    /// Whether no fault is counted any more.
    pub(super) fn is_idle(mut self, now: Timestamp) -> bool {
        self.turn(now);
        self.bad == 0 && self.bad_before == 0
    }

    fn turn(&mut self, now: Timestamp) {
        let passed = now - self.began;
        if passed < HALF {
            return;
        }
        let keeps = passed < HALF * 2;
        (self.good_before, self.bad_before) = if keeps { (self.good, self.bad) } else { (0, 0) };
        (self.good, self.bad, self.began) = (0, 0, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp((1_000 + seconds) * 1_000_000)
    }

    #[test]
    fn few_answers_show_no_rate_and_old_ones_are_forgotten() {
        let mut rate = Rate::default();
        for n in 0..9 {
            rate.bad(at(n / 2));
        }
        assert!(!rate.is_bad(at(5)) && rate.would_be_bad(at(5)) && !rate.is_idle(at(5)));
        rate.good(at(5));
        assert!(rate.is_bad(at(5)) && rate.is_bad(at(16)) && !rate.is_idle(at(16)), "nine of ten");
        assert!(!rate.is_bad(at(31)) && rate.is_idle(at(31)));
        let mut mixed = Rate::default();
        for n in 0..20 {
            if n % 5 < 3 { mixed.bad(at(0)) } else { mixed.good(at(0)) }
        }
        assert!(mixed.is_bad(at(0)));
        mixed.good(at(0));
        assert!(!mixed.is_bad(at(0)), "12 of 21");
    }
}
