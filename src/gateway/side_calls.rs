//! The places of calls that the gateway makes of its own: so many at once, of one key a part, and none where a target fails.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::bodies::Bodies;
use crate::types::{QuickMap, Timestamp};

/// The most at once.
const MOST: usize = 32;

/// The most at once on account of one key.
const MOST_OF_KEY: usize = 8;

/// So many failures in a row of a target make a pause.
const FAILURES: u32 = 3;

/// How long a target that fails is asked nothing.
const PAUSE: Duration = Duration::from_secs(30);

/// The longest that a target is asked nothing because it asked for quiet.
const LONGEST_QUIET: Duration = Duration::from_secs(3_600);

/// The most targets whose failures are remembered.
const MOST_TARGETS: usize = 256;

/// The places, and how targets fare in such calls: callers' breakers know nothing of these.
#[derive(Debug)]
pub struct SideCalls {
    taken: Mutex<Taken>,
    failing: Mutex<QuickMap<Arc<str>, Failures>>,
    answers: Arc<Bodies>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    keys: QuickMap<Arc<str>, usize>,
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Failures {
    count: u32,
    last: Timestamp,
    /// How long it asked for quiet since then.
    quiet: Duration,
}

/// The place of one call, which it has until this is dropped.
#[derive(Debug)]
pub struct Place {
    calls: Arc<SideCalls>,
    key: Arc<str>,
}

impl Default for SideCalls {
    fn default() -> Self {
        Self { taken: Mutex::default(), failing: Mutex::default(), answers: Arc::new(Bodies::of_answers()) }
    }
}

impl SideCalls {
    /// A place for a call on account of `key`; `None` where there is none, which costs the key nothing.
    pub fn place(self: &Arc<Self>, key: &Arc<str>) -> Option<Place> {
        let mut taken = lock(&self.taken);
        let of_key = taken.keys.get(key).copied().unwrap_or_default();
        if taken.all >= MOST || of_key >= MOST_OF_KEY {
            return None;
        }
        taken.all += 1;
        taken.keys.insert(key.clone(), of_key + 1);
        Some(Place { calls: self.clone(), key: key.clone() })
    }

    /// The room of their answers while they are read.
    pub fn answers(&self) -> &Arc<Bodies> {
        &self.answers
    }

    /// Whether a target may be asked, which failed in none of the last such calls, or long ago.
    pub fn may_ask(&self, target: &str, now: Timestamp) -> bool {
        let failing = lock(&self.failing);
        failing.get(target).is_none_or(|failures| now - failures.last >= failures.pause())
    }

    /// Notes that a target that failed asks for quiet, for an hour at most.
    pub fn hush(&self, target: &Arc<str>, quiet: Duration) {
        if let Some(failures) = lock(&self.failing).get_mut(target) {
            failures.quiet = quiet.min(LONGEST_QUIET);
        }
    }

    /// Notes how a call of `target` ended.
    pub fn ended(&self, target: &Arc<str>, is_well: bool, now: Timestamp) {
        let mut failing = lock(&self.failing);
        if is_well {
            failing.remove(target);
            return;
        }
        if failing.len() >= MOST_TARGETS {
            failing.retain(|_, failures| now - failures.last < PAUSE.max(failures.quiet));
        }
        if failing.len() < MOST_TARGETS || failing.contains_key(target) {
            let failures = failing.entry(target.clone()).or_default();
            *failures = Failures { count: failures.count.saturating_add(1), last: now, quiet: Duration::ZERO };
        }
    }
}

impl Failures {
    /// How long the target is left alone after the last.
    fn pause(&self) -> Duration {
        if self.count < FAILURES { self.quiet } else { PAUSE.max(self.quiet) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.calls.taken);
        taken.all -= 1;
        let is_last = taken.keys.get_mut(&self.key).is_none_or(|count| {
            *count -= 1;
            *count == 0
        });
        if is_last {
            taken.keys.remove(&self.key);
        }
    }
}

/// A panic that held the lock leaves at worst a wrong count.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_for_all_and_for_a_key_and_come_back() {
        let calls = Arc::new(SideCalls::default());
        let key = |n: usize| -> Arc<str> { format!("k{n}").into() };
        let mut held: Vec<Place> = (0..MOST_OF_KEY).map(|_| calls.place(&key(0)).unwrap()).collect();
        assert!(calls.place(&key(0)).is_none());
        held.extend((MOST_OF_KEY..MOST).map(|n| calls.place(&key(n)).unwrap()));
        assert!(calls.place(&key(99)).is_none());
        held.pop();
        assert!(calls.place(&key(0)).is_none(), "that key has its part");
        held.push(calls.place(&key(99)).unwrap());
        drop(held);
        let taken = lock(&calls.taken);
        assert_eq!((taken.all, taken.keys.len()), (0, 0));
    }

    #[test]
    fn a_target_that_fails_in_a_row_is_left_alone_for_a_while() {
        let (calls, target) = (SideCalls::default(), Arc::<str>::from("p/m"));
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        calls.ended(&target, false, at(0));
        calls.ended(&target, false, at(1));
        calls.ended(&target, true, at(2));
        for second in 3..6 {
            assert!(calls.may_ask(&target, at(second)));
            calls.ended(&target, false, at(second));
        }
        assert!(!calls.may_ask(&target, at(6)) && calls.may_ask("p/other", at(6)));
        assert!(calls.may_ask(&target, at(35)));
        // Another failure begins the pause anew.
        calls.ended(&target, false, at(35));
        assert!(!calls.may_ask(&target, at(36)));
        calls.ended(&target, true, at(65));
        assert!(calls.may_ask(&target, at(66)));
    }

    #[test]
    fn a_target_that_asks_for_quiet_has_it_of_shadows_for_an_hour_at_most() {
        let (calls, target) = (SideCalls::default(), Arc::<str>::from("p/m"));
        let at = |seconds: i64| Timestamp(seconds * 1_000_000);
        for (asked, left) in [(120, 120), (90_000, 3_600)] {
            calls.ended(&target, false, at(0));
            calls.hush(&target, Duration::from_secs(asked));
            assert!(!calls.may_ask(&target, at(left - 1)) && calls.may_ask(&target, at(left)), "{asked}");
            calls.ended(&target, true, at(left));
            assert!(calls.may_ask(&target, at(0)));
        }
    }

    #[test]
    fn failures_of_many_targets_take_a_bounded_room() {
        let calls = SideCalls::default();
        for n in 0..1_000 {
            calls.ended(&format!("p/{n}").into(), false, Timestamp(0));
        }
        assert_eq!(lock(&calls.failing).len(), MOST_TARGETS);
    }
}
