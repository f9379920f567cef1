//! What a shadow has spent in a day of UTC: set aside before a call, and settled after it.

use crate::types::{Nanos, Timestamp};

const DAY: i64 = 86_400_000_000;

/// What was spent in a day, and is set aside.
#[derive(Debug)]
pub(super) struct Day {
    day: i64,
    spent: Nanos,
}

impl Day {
    /// The day of `now`, of which so much is spent.
    pub(super) fn begin(spent: Nanos, now: Timestamp) -> Self {
        Self { day: now.0.div_euclid(DAY), spent }
    }

    /// Sets an amount aside, where it fits below the cap; gives the day that it is of.
    pub(super) fn set_aside(&mut self, amount: Nanos, most: Nanos, now: Timestamp) -> Option<i64> {
        self.turn(now);
        let spent = Nanos(self.spent.0.saturating_add(amount.0));
        if spent > most {
            return None;
        }
        self.spent = spent;
        Some(self.day)
    }

    /// Takes what a call cost in place of what was set aside for it.
    pub(super) fn settle(&mut self, day: i64, amount: Nanos, cost: Nanos) {
        if day == self.day {
            self.spent = Nanos(self.spent.0.saturating_sub(amount.0).saturating_add(cost.0));
        }
    }

    /// What is spent today.
    pub(super) fn spent(&mut self, now: Timestamp) -> Nanos {
        self.turn(now);
        self.spent
    }

    /// Begins a new day. A clock that is set back begins none.
    fn turn(&mut self, now: Timestamp) {
        let day = now.0.div_euclid(DAY);
        if day > self.day {
            *self = Self { day, spent: Nanos(0) };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_begins_with_nothing_and_takes_no_settlement_of_the_day_before() {
        let mut day = Day::begin(Nanos(7), Timestamp(5));
        assert_eq!(day.set_aside(Nanos(4), Nanos(10), Timestamp(6)), None);
        let first = day.set_aside(Nanos(3), Nanos(10), Timestamp(6)).unwrap();
        let second = day.set_aside(Nanos(10), Nanos(10), Timestamp(DAY)).unwrap();
        day.settle(first, Nanos(3), Nanos(1));
        assert_eq!(day.spent(Timestamp(DAY)), Nanos(10));
        day.settle(second, Nanos(10), Nanos(2));
        assert_eq!(day.spent(Timestamp(DAY)), Nanos(2));
        // A clock that is set back.
        assert_eq!(day.spent(Timestamp(5)), Nanos(2));
    }

    proptest! {
        /// Whatever order calls begin and end in, what is spent and set aside never passes the cap, where none costs more than
        /// was set aside for it.
        #[test]
        fn no_order_of_calls_passes_the_cap(steps in prop::collection::vec((any::<bool>(), 0i64..50, 0.0..1.0f64), 0..100)) {
            let (mut day, most) = (Day::begin(Nanos(0), Timestamp(0)), Nanos(100));
            let (mut open, mut paid) = (Vec::new(), 0);
            for (begins, amount, part) in steps {
                if begins {
                    open.extend(day.set_aside(Nanos(amount), most, Timestamp(1)).map(|day| (day, amount)));
                } else if let Some((of, amount)) = open.pop() {
                    #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
                    let cost = (amount as f64 * part) as i64;
                    day.settle(of, Nanos(amount), Nanos(cost));
                    paid += cost;
                }
                let set_aside: i64 = open.iter().map(|(_, amount)| amount).sum();
                prop_assert_eq!(day.spent(Timestamp(1)), Nanos(paid + set_aside));
                prop_assert!(day.spent(Timestamp(1)) <= most);
            }
        }
    }
}
