//! What hedges add to the spend of one route, over a sliding window: an estimate before each, what it cost after.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::types::{Nanos, Timestamp};

/// How long a part of the window is.
const PART: Duration = Duration::from_secs(60);

/// How many parts the window has: it is ten minutes.
const PARTS: usize = 10;

/// The spend of one route.
#[derive(Debug, Default)]
pub struct RouteSpend(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    parts: [Part; PARTS],
    /// The number of the newest part, since 1970.
    newest: i64,
    /// What hedges under way are reckoned to cost.
    reserved: i64,
    /// How many are under way.
    open: u64,
}

/// What one part of the window counts.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    calls: u64,
    spent: i64,
    hedges: u64,
    extra: i64,
    output: u64,
}

/// Room that a hedge has taken in the spend of its route. Dropped before it is settled, it is given back.
#[derive(Debug)]
pub struct Reserved {
    spend: Arc<RouteSpend>,
    estimate: i64,
    is_settled: bool,
}

/// The spend of a route, as `explain` shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SpendShown {
    /// Attempts of the window that were no hedges.
    pub calls: u64,
    /// What they cost.
    pub spent_usd: Nanos,
    /// Hedges of the window.
    pub hedges: u64,
    /// What these cost, and may cost that are under way.
    pub extra_usd: Nanos,
}

impl RouteSpend {
    /// Takes room for a hedge that is reckoned to cost `estimate`: within `share` of what the route has spent; where its cost is
    /// unknown, within that share of the route's attempts.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, estimate: Option<Nanos>, share: f64, now: Timestamp) -> Option<Reserved> {
        let mut window = lock(&self.0);
        window.turn(now);
        if !window.has_room(estimate, share) {
            return None;
        }
        let estimate = estimate.unwrap_or_default().0;
        window.reserved += estimate;
        window.open += 1;
        Some(Reserved { spend: self.clone(), estimate, is_settled: false })
    }

    /// Whether a hedge of this estimate would get room now.
    #[must_use]
    pub fn has_room(&self, estimate: Option<Nanos>, share: f64, now: Timestamp) -> bool {
        let mut window = lock(&self.0);
        window.turn(now);
        window.has_room(estimate, share)
    }

    /// Notes an attempt that was no hedge, and what it cost, where that is known.
    pub fn note(&self, cost: Option<Nanos>, output: u64, now: Timestamp) {
        let mut window = lock(&self.0);
        let part = window.turn(now);
        part.calls += 1;
        part.spent += cost.unwrap_or_default().0;
        part.output += output;
    }

    /// How many tokens the route's answers have on average; `None` where it has had none.
    #[must_use]
    pub fn usual_output(&self, now: Timestamp) -> Option<u64> {
        let mut window = lock(&self.0);
        window.turn(now);
        let (calls, output) = (window.sum(|part| part.calls), window.sum(|part| part.output));
        (calls > 0).then(|| output.div_ceil(calls))
    }

    /// The window's figures.
    #[must_use]
    pub fn shown(&self, now: Timestamp) -> SpendShown {
        let mut window = lock(&self.0);
        window.turn(now);
        SpendShown {
            calls: window.sum(|part| part.calls),
            spent_usd: Nanos(window.parts.iter().map(|part| part.spent).sum()),
            hedges: window.sum(|part| part.hedges) + window.open,
            extra_usd: Nanos(window.parts.iter().map(|part| part.extra).sum::<i64>() + window.reserved),
        }
    }
}

impl Reserved {
    /// Notes what the hedge cost, where that is known.
    pub fn settle(mut self, cost: Option<Nanos>, now: Timestamp) {
        self.is_settled = true;
        let mut window = lock(&self.spend.0);
        window.release(self.estimate);
        let part = window.turn(now);
        part.hedges += 1;
        part.extra += cost.unwrap_or_default().0;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if !self.is_settled {
            lock(&self.spend.0).release(self.estimate);
        }
    }
}

impl Window {
    fn sum(&self, of: impl Fn(&Part) -> u64) -> u64 {
        self.parts.iter().map(of).sum()
    }

    fn release(&mut self, estimate: i64) {
        self.reserved -= estimate;
        self.open -= 1;
    }

    #[expect(clippy::cast_precision_loss, reason = "a share is no exact amount; money stays below 2^53")]
    fn has_room(&self, estimate: Option<Nanos>, share: f64) -> bool {
        match estimate {
            Some(Nanos(estimate)) => {
                let extra: i64 = self.parts.iter().map(|part| part.extra).sum::<i64>() + self.reserved + estimate;
                let spent: i64 = self.parts.iter().map(|part| part.spent).sum();
                extra as f64 <= share * spent as f64
            }
            None => {
                let hedges = self.sum(|part| part.hedges) + self.open + 1;
                hedges as f64 <= share * self.sum(|part| part.calls) as f64
            }
        }
    }

    /// The part of this moment, with those that have passed emptied. A clock that is set back counts into the newest.
    fn turn(&mut self, now: Timestamp) -> &mut Part {
        let length = i64::try_from(PART.as_micros()).unwrap_or(i64::MAX);
        let count = i64::try_from(PARTS).unwrap_or(i64::MAX);
        let number = now.0.div_euclid(length).max(self.newest);
        let passed = (number - self.newest).min(count);
        let place = |number: i64| usize::try_from(number.rem_euclid(count)).unwrap_or(0);
        for gone in 0..passed {
            self.parts[place(number - gone)] = Part::default();
        }
        self.newest = number;
        &mut self.parts[place(number)]
    }
}

/// A panic that held the lock leaves at worst wrong figures, so the lock stays in use.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp(1_795_427_193_000_000 + seconds * 1_000_000)
    }

    #[test]
    fn a_hedge_needs_its_share_of_what_was_spent() {
        let spend = Arc::new(RouteSpend::default());
        assert!(spend.reserve(Some(Nanos(100)), 0.05, at(0)).is_none(), "nothing was spent yet");
        (0..20).for_each(|_| spend.note(Some(Nanos(100)), 7, at(0)));
        assert_eq!(spend.usual_output(at(0)), Some(7));
        let first = spend.reserve(Some(Nanos(100)), 0.05, at(1)).expect("5 of 100");
        assert!(spend.reserve(Some(Nanos(1)), 0.05, at(1)).is_none(), "it is reserved");
        drop(first);
        let first = spend.reserve(Some(Nanos(100)), 0.05, at(1)).expect("what was given back is there again");
        first.settle(Some(Nanos(40)), at(2));
        assert!(spend.reserve(Some(Nanos(61)), 0.05, at(2)).is_none());
        assert!(spend.reserve(Some(Nanos(60)), 0.05, at(2)).is_some(), "what it did not cost is there again");
    }

    #[test]
    fn what_the_window_has_left_behind_counts_no_more() {
        let spend = Arc::new(RouteSpend::default());
        (0..20).for_each(|_| spend.note(Some(Nanos(100)), 1, at(0)));
        spend.reserve(Some(Nanos(100)), 0.05, at(0)).unwrap().settle(Some(Nanos(100)), at(0));
        assert!(!spend.has_room(Some(Nanos(1)), 0.05, at(500)));
        assert!(!spend.has_room(Some(Nanos(1)), 0.05, at(700)), "the spend went with it");
        (0..20).for_each(|_| spend.note(Some(Nanos(100)), 1, at(700)));
        assert!(spend.has_room(Some(Nanos(100)), 0.05, at(700)));
    }

    #[test]
    fn a_jump_of_the_clock_empties_all_that_it_passes_and_one_back_empties_nothing() {
        let spend = RouteSpend::default();
        (0..10).for_each(|part| spend.note(Some(Nanos(1)), 1, at(part * 60)));
        assert_eq!(spend.shown(at(540)).calls, 10);
        spend.note(Some(Nanos(1)), 1, at(300));
        assert_eq!(spend.shown(at(540)).calls, 11, "what is set back counts into the newest part");
        assert_eq!(spend.shown(at(540 + 240)).calls, 7, "four parts have passed");
        assert_eq!(spend.shown(at(5_000)).calls, 0);
    }

    #[test]
    fn where_no_price_is_known_calls_are_counted() {
        let spend = Arc::new(RouteSpend::default());
        (0..19).for_each(|_| spend.note(None, 1, at(0)));
        assert!(spend.reserve(None, 0.05, at(0)).is_none());
        spend.note(None, 1, at(0));
        let open = spend.reserve(None, 0.05, at(0)).expect("one of twenty");
        assert!(spend.reserve(None, 0.05, at(0)).is_none());
        open.settle(None, at(0));
        assert!(spend.reserve(None, 0.05, at(0)).is_none());
    }

    proptest! {
        /// Whatever happens in whatever order, what hedges cost within a window is at most their share of what was spent and
        /// what they cost beyond their estimates.
        #[test]
        fn hedges_keep_to_their_share(
            steps in prop::collection::vec((0u8..4, 1i64..1_000, 0i64..30), 1..300),
            share in 0.0f64..=1.0,
        ) {
            let spend = Arc::new(RouteSpend::default());
            let (mut open, mut now, mut over) = (Vec::new(), 0, 0);
            for (kind, amount, passed) in steps {
                now += passed;
                match kind {
                    0 | 1 => spend.note(Some(Nanos(amount)), 1, at(now)),
                    2 => {
                        let room = spend.has_room(Some(Nanos(amount)), share, at(now));
                        let reserved = spend.reserve(Some(Nanos(amount)), share, at(now));
                        prop_assert_eq!(room, reserved.is_some());
                        if let Some(reserved) = reserved {
                            let shown = spend.shown(at(now));
                            prop_assert!(shown.extra_usd.0 as f64 <= share * shown.spent_usd.0 as f64);
                            open.push((reserved, amount));
                        }
                    }
                    _ => if let Some((reserved, estimate)) = open.pop() {
                        over += (amount - estimate).max(0);
                        reserved.settle(Some(Nanos(amount)), at(now));
                    }
                }
            }
            let all = spend.shown(at(now));
            prop_assert!(all.extra_usd.0 >= 0 && all.hedges >= open.len() as u64);
            prop_assert!(now > 500 || all.extra_usd.0 as f64 <= share * all.spent_usd.0 as f64 + over as f64 + 1e-6);
            drop(open);
            prop_assert_eq!(lock(&spend.0).reserved, 0);
        }
    }
}
