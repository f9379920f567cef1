//! The retry budget of one provider: a fifth of its calls, and three in reserve.
//!
//! Every call adds a fifth of a retry, every retry takes a whole one, and the budget starts with three. So over any span
//! retries are at most 20 % of the calls and 3 more. The balance is at most three and a fifth of the calls of the last 10
//! to 20 s; without that bound, an hour without failures would allow thousands of retries at once.

use std::time::Duration;

use crate::types::Timestamp;

const FIFTHS: u64 = 5;
const RESERVE: u64 = 3 * FIFTHS;
const SPAN: Duration = Duration::from_secs(10);

/// Counted in fifths of a retry.
#[derive(Debug)]
pub(super) struct Budget {
    fifths: u64,
    began: Timestamp,
    calls: u64,
    calls_before: u64,
}

impl Budget {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { fifths: RESERVE, began: now, calls: 0, calls_before: 0 }
    }

    /// A call began (not a retry).
    pub(super) fn called(&mut self, now: Timestamp) {
        self.turn(now);
        self.calls += 1;
        self.fifths = (self.fifths + 1).min(RESERVE + self.calls + self.calls_before);
    }

    /// Whether a retry may start; takes one out of the budget.
    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        self.turn(now);
        if self.fifths < FIFTHS {
            return false;
        }
        self.fifths -= FIFTHS;
        true
    }

    fn turn(&mut self, now: Timestamp) {
        let passed = now - self.began;
        if passed < SPAN {
            return;
        }
        self.calls_before = if passed < SPAN * 2 { self.calls } else { 0 };
        self.calls = 0;
        self.began = now;
        self.fifths = self.fifths.min(RESERVE + self.calls_before);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn three_retries_stand_in_reserve() {
        let mut budget = Budget::new(Timestamp(0));
        let granted = (0..10).filter(|_| budget.take(Timestamp(0))).count();
        assert_eq!(granted, 3);
    }

    #[test]
    fn health_does_not_pay_for_a_later_storm() {
        let mut budget = Budget::new(Timestamp(0));
        for call in 0..100_000 {
            budget.called(Timestamp(call * 1_000));
        }
        let later = Timestamp(200_000_000);
        assert_eq!((0..1_000).filter(|_| budget.take(later)).count(), 3);
    }

    proptest! {
        #[test]
        fn retries_are_at_most_a_fifth_of_the_calls_and_three(steps in proptest::collection::vec((any::<bool>(), 0i64..3_000_000), 1..400)) {
            let mut budget = Budget::new(Timestamp(0));
            let (mut now, mut calls, mut retries) = (0, 0u64, 0u64);
            for (is_call, wait) in steps {
                now += wait;
                if is_call {
                    budget.called(Timestamp(now));
                    calls += 1;
                } else if budget.take(Timestamp(now)) {
                    retries += 1;
                }
                prop_assert!(retries * FIFTHS <= calls + RESERVE);
            }
        }
    }
}
