//! A provider's keys in turn. One that is refused, or whose calls come too fast, is left out for a while, so that one call's
//! refusal costs no other call.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::types::QuickMap;

/// How long a key is left out after its first refusal; each further one doubles that.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3_600);

/// How long a key rests at least whose calls come too fast.
const REST: Duration = Duration::from_secs(1);

/// Keys in turn.
pub(super) struct Keys<K> {
    keys: Vec<K>,
    turn: AtomicUsize,
    /// Whether any refusal is noted, so that good keys take no lock.
    is_any_refused: AtomicBool,
    /// Which keys were refused, by their places.
    refused: Mutex<QuickMap<usize, Lapse>>,
}

/// A refusal, which lapses.
#[derive(Clone, Copy)]
struct Lapse {
    until: Instant,
    /// How long the key was left out for its last refusal; none for one that only rests.
    last: Option<Duration>,
}

impl<K> Keys<K> {
    /// At least one key.
    pub(super) fn new(keys: Vec<K>) -> Self {
        Self { keys, turn: AtomicUsize::new(0), is_any_refused: AtomicBool::new(false), refused: Mutex::default() }
    }

    /// All of them.
    pub(super) fn all(&self) -> &[K] {
        &self.keys
    }

    /// The next key that is not refused just now, with its place; any where all are.
    pub(super) fn next(&self, now: Instant) -> (usize, &K) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.keys.len();
        let n = if self.is_any_refused.load(Ordering::Relaxed) { self.good(turn, now).unwrap_or(turn) } else { turn };
        (n, &self.keys[n])
    }

    /// The first key from `turn` on that is not refused.
    fn good(&self, turn: usize, now: Instant) -> Option<usize> {
        let mut refused = self.lock();
        // A rest that is over leaves nothing to remember.
        refused.retain(|_, lapse| lapse.last.is_some() || now < lapse.until);
        if refused.is_empty() {
            self.is_any_refused.store(false, Ordering::Relaxed);
        }
        let mut places = (0..self.keys.len()).map(|n| (turn + n) % self.keys.len());
        places.find(|n| refused.get(n).is_none_or(|lapse| now >= lapse.until))
    }

    /// Notes that the key at `n` was refused; returns whether another may be accepted.
    pub(super) fn refused(&self, n: usize, now: Instant) -> bool {
        let mut refused = self.lock();
        let last = refused.get(&n).map_or(FIRST, |lapse| lapse.next(now));
        refused.insert(n, Lapse { until: now + last, last: Some(last) });
        drop(refused);
        self.is_any_refused.store(true, Ordering::Relaxed);
        self.good(n, now).is_some()
    }

    /// Notes that calls with the key at `n` come too fast: the key rests for the time that the provider names, or for a second;
    /// returns whether another may be used.
    pub(super) fn limited(&self, n: usize, named: Option<Duration>, now: Instant) -> bool {
        let until = now + named.unwrap_or(REST).clamp(REST, LONGEST);
        let mut refused = self.lock();
        let lapse = refused.entry(n).or_insert(Lapse { until, last: None });
        lapse.until = lapse.until.max(until);
        drop(refused);
        self.is_any_refused.store(true, Ordering::Relaxed);
        self.good(n, now).is_some()
    }

    /// How long it takes until a key may be used again.
    pub(super) fn soonest(&self, now: Instant) -> Duration {
        let refused = self.lock();
        if refused.len() < self.keys.len() {
            return Duration::ZERO;
        }
        let left = refused.values().map(|lapse| lapse.until.saturating_duration_since(now));
        left.min().unwrap_or_default()
    }

    /// Notes that the key at `n` was accepted.
    pub(super) fn accepted(&self, n: usize) {
        if !self.is_any_refused.load(Ordering::Relaxed) {
            return;
        }
        let mut refused = self.lock();
        // A call that began before the key's rest does not end that.
        refused.retain(|place, lapse| *place != n || lapse.last.is_none());
        if refused.is_empty() {
            self.is_any_refused.store(false, Ordering::Relaxed);
        }
    }

    /// A panic that held the lock leaves at worst a refusal too many, which lapses.
    fn lock(&self) -> MutexGuard<'_, QuickMap<usize, Lapse>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lapse {
    /// How long the key is left out after another refusal. Calls that were under way at the first one count with it.
    fn next(self, now: Instant) -> Duration {
        let Some(last) = self.last else { return FIRST };
        if now < self.until { last } else { (last * 2).min(LONGEST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Keys<char> {
        Keys::new(vec!['a', 'b', 'c'])
    }

    fn drawn(keys: &Keys<char>, now: Instant) -> String {
        let mut drawn: Vec<char> = (0..30).map(|_| *keys.next(now).1).collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn.into_iter().collect()
    }

    #[test]
    fn a_refused_key_is_tried_again_after_a_minute_and_each_time_later() {
        let (keys, mut now) = (three(), Instant::now());
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(keys.refused(1, now));
            // One that was under way then changes nothing.
            assert!(keys.refused(1, now));
            now += Duration::from_secs(minutes * 60 - 1);
            assert_eq!(drawn(&keys, now), "ac", "{minutes}");
            now += Duration::from_secs(1);
            assert_eq!(drawn(&keys, now), "abc", "{minutes}");
        }
        keys.accepted(1);
        assert!(!keys.is_any_refused.load(Ordering::Relaxed));
        assert!(keys.refused(1, now));
        now += Duration::from_secs(60);
        assert_eq!(drawn(&keys, now), "abc", "a good answer ends the doubling");
    }

    #[test]
    fn a_key_whose_calls_come_too_fast_rests_for_the_time_that_is_named() {
        let (keys, now) = (three(), Instant::now());
        let seconds = Duration::from_secs;
        assert!(keys.limited(0, Some(seconds(7)), now) && keys.limited(1, None, now));
        assert_eq!((drawn(&keys, now), keys.soonest(now)), ("c".to_owned(), Duration::ZERO));
        keys.accepted(0);
        assert_eq!(drawn(&keys, now + seconds(1)), "bc", "a call from before ends no rest");
        assert!(!keys.limited(2, Some(seconds(3)), now) || !keys.limited(1, None, now));
        assert_eq!(keys.soonest(now), seconds(1));
        assert_eq!(drawn(&keys, now + seconds(7)), "abc");
        assert!(!keys.is_any_refused.load(Ordering::Relaxed), "nothing is left of it");
    }

    #[test]
    fn where_all_are_refused_each_is_tried() {
        let (keys, now) = (three(), Instant::now());
        assert!(keys.refused(0, now) && keys.refused(1, now) && !keys.refused(2, now));
        assert_eq!(drawn(&keys, now), "abc");
        keys.accepted(1);
        assert_eq!(drawn(&keys, now), "b");
    }
}
