//! Retry budgets, one of each provider and one of the process: a fifth of the calls, and three in reserve.
//!
//! Every call adds a fifth of a retry, every retry takes a whole one, and the budget starts with three. So over any span
//! retries are at most 20 % of the calls and 3 more. The balance is at most three and a fifth of the calls of the last 10
//! to 20 s; without that bound, an hour without failures would allow thousands of retries at once.

use std::sync::Arc;
use std::time::Duration;

use crate::types::{QuickMap, Timestamp};

const FIFTHS: u64 = 5;
const RESERVE: u64 = 3 * FIFTHS;
const SPAN: Duration = Duration::from_secs(10);

/// The budget of the process, and those of its providers.
#[derive(Debug)]
pub(super) struct Budgets {
    all: Budget,
    providers: QuickMap<Arc<str>, Budget>,
}

impl Default for Budgets {
    fn default() -> Self {
        Self { all: Budget::new(Timestamp::default()), providers: QuickMap::default() }
    }
}

impl Budgets {
    /// A call to `provider` began (not a retry, and not a hedge).
    pub(super) fn called(&mut self, provider: &Arc<str>, now: Timestamp) {
        self.all.called(now);
        match self.providers.get_mut(provider) {
            Some(budget) => budget.called(now),
            None => self.providers.entry(provider.clone()).or_insert_with(|| Budget::new(now)).called(now),
        }
    }

    /// Whether one more attempt may go to `provider`; takes it out of the provider's budget and out of the process's.
    pub(super) fn take(&mut self, provider: &Arc<str>, now: Timestamp) -> bool {
        let own = self.providers.entry(provider.clone()).or_insert_with(|| Budget::new(now));
        self.all.has(now) && own.take(now) && self.all.take(now)
    }
}

/// Counted in fifths of a retry.
#[derive(Debug)]
struct Budget {
    fifths: u64,
    began: Timestamp,
    calls: u64,
    calls_before: u64,
}

impl Budget {
    fn new(now: Timestamp) -> Self {
        Self { fifths: RESERVE, began: now, calls: 0, calls_before: 0 }
    }

    /// A call began (not a retry).
    fn called(&mut self, now: Timestamp) {
        self.turn(now);
        self.calls += 1;
        self.fifths = (self.fifths + 1).min(RESERVE + self.calls + self.calls_before);
    }

    /// Whether a retry may start.
    fn has(&mut self, now: Timestamp) -> bool {
        self.turn(now);
        self.fifths >= FIFTHS
    }

    /// Whether a retry may start; takes one out of the budget.
    fn take(&mut self, now: Timestamp) -> bool {
        let has = self.has(now);
        if has {
            self.fifths -= FIFTHS;
        }
        has
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

    #[test]
    fn the_budget_of_the_process_holds_over_all_providers() {
        let providers: Vec<Arc<str>> = ["a", "b", "c"].map(Into::into).to_vec();
        let mut budgets = Budgets::default();
        let now = Timestamp(1_000_000);
        for call in 0..30 {
            budgets.called(&providers[call % 3], now);
        }
        // Each provider alone has two for its ten calls, and three in reserve: fifteen, of which the process allows nine.
        let taken = |budgets: &mut Budgets, provider| (0..20).filter(|_| budgets.take(provider, now)).count();
        assert_eq!(providers.iter().map(|provider| taken(&mut budgets, provider)).collect::<Vec<_>>(), [5, 4, 0]);
        budgets.called(&providers[2], now);
        assert!(!budgets.take(&providers[2], now));
        (0..4).for_each(|_| budgets.called(&providers[2], now));
        assert!(budgets.take(&providers[2], now), "what one refuses is not taken from the other");
        (0..25).for_each(|_| budgets.called(&providers[0], now));
        assert_eq!(taken(&mut budgets, &providers[2]), 5, "its own is whole, however often the process's refused");
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
