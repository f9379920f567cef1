//! A provider's keys in turn. One that is refused is left out for a while, so that one call's refusal costs no other call.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::types::QuickMap;

/// How long a key is left out after its first refusal; each further one doubles that.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3_600);

/// The most models that keys are noted to be refused for: callers may name any.
const MOST_MODELS: usize = 256;

/// Keys in turn.
pub(super) struct Keys<K> {
    keys: Vec<K>,
    turn: AtomicUsize,
    /// Whether any refusal is noted, so that good keys take no lock.
    is_any_refused: AtomicBool,
    refused: Mutex<Refused>,
}

/// Which keys were refused, by their places.
#[derive(Default)]
struct Refused {
    keys: QuickMap<usize, Lapse>,
    models: QuickMap<Box<str>, QuickMap<usize, Lapse>>,
}

/// A refusal, which lapses.
#[derive(Clone, Copy)]
struct Lapse {
    until: Instant,
    last: Duration,
}

/// What a refusal is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// The key itself.
    Key,
    /// The key, for this model.
    Model,
}

impl<K> Keys<K> {
    /// At least one key.
    pub(super) fn new(keys: Vec<K>) -> Self {
        Self { keys, turn: AtomicUsize::new(0), is_any_refused: AtomicBool::new(false), refused: Mutex::default() }
    }

    /// The next key for `model` that is not refused just now, with its place; any where all are.
    pub(super) fn next(&self, model: &str, now: Instant) -> (usize, &K) {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.keys.len();
        let n = if self.is_any_refused.load(Ordering::Relaxed) {
            self.good(turn, model, now).unwrap_or(turn)
        } else {
            turn
        };
        (n, &self.keys[n])
    }

    /// The first key from `turn` on that is not refused for `model`.
    fn good(&self, turn: usize, model: &str, now: Instant) -> Option<usize> {
        let refused = self.lock();
        let of_model = refused.models.get(model);
        let is_out = |lapses: Option<&QuickMap<usize, Lapse>>, n| {
            lapses.and_then(|lapses| lapses.get(&n)).is_some_and(|lapse| now < lapse.until)
        };
        let mut places = (0..self.keys.len()).map(|n| (turn + n) % self.keys.len());
        places.find(|n| !is_out(Some(&refused.keys), *n) && !is_out(of_model, *n))
    }

    /// Notes that the key at `n` was refused for `model`; returns whether another may be accepted.
    pub(super) fn refused(&self, n: usize, of: Of, model: &str, now: Instant) -> bool {
        let mut refused = self.lock();
        let lapses = match of {
            Of::Key => &mut refused.keys,
            Of::Model => {
                if refused.models.len() >= MOST_MODELS {
                    refused.models.retain(|_, lapses| lapses.values().any(|lapse| now < lapse.until));
                }
                if refused.models.len() >= MOST_MODELS {
                    refused.models.clear();
                }
                refused.models.entry(model.into()).or_default()
            }
        };
        let last = lapses.get(&n).map_or(FIRST, |lapse| lapse.next(now));
        lapses.insert(n, Lapse { until: now + last, last });
        drop(refused);
        self.is_any_refused.store(true, Ordering::Relaxed);
        self.good(n, model, now).is_some()
    }

    /// Notes that the key at `n` was accepted for `model`.
    pub(super) fn accepted(&self, n: usize, model: &str) {
        if !self.is_any_refused.load(Ordering::Relaxed) {
            return;
        }
        let mut refused = self.lock();
        refused.keys.remove(&n);
        if let Some(lapses) = refused.models.get_mut(model) {
            lapses.remove(&n);
            if lapses.is_empty() {
                refused.models.remove(model);
            }
        }
        if refused.keys.is_empty() && refused.models.is_empty() {
            self.is_any_refused.store(false, Ordering::Relaxed);
        }
    }

    /// A panic that held the lock leaves at worst a refusal too many, which lapses.
    fn lock(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lapse {
    /// How long the key is left out after another refusal. Calls that were under way at the first one count with it.
    fn next(self, now: Instant) -> Duration {
        if now < self.until { self.last } else { (self.last * 2).min(LONGEST) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Keys<char> {
        Keys::new(vec!['a', 'b', 'c'])
    }

    fn drawn(keys: &Keys<char>, model: &str, now: Instant) -> String {
        let mut drawn: Vec<char> = (0..30).map(|_| *keys.next(model, now).1).collect();
        drawn.sort_unstable();
        drawn.dedup();
        drawn.into_iter().collect()
    }

    #[test]
    fn a_refused_key_is_tried_again_after_a_minute_and_each_time_later() {
        let (keys, mut now) = (three(), Instant::now());
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(keys.refused(1, Of::Key, "m", now));
            // One that was under way then changes nothing.
            assert!(keys.refused(1, Of::Key, "m", now));
            now += Duration::from_secs(minutes * 60 - 1);
            assert_eq!(drawn(&keys, "m", now), "ac", "{minutes}");
            now += Duration::from_secs(1);
            assert_eq!(drawn(&keys, "m", now), "abc", "{minutes}");
        }
        keys.accepted(1, "m");
        assert!(!keys.is_any_refused.load(Ordering::Relaxed));
        assert!(keys.refused(1, Of::Key, "m", now));
        now += Duration::from_secs(60);
        assert_eq!(drawn(&keys, "m", now), "abc", "a good answer ends the doubling");
    }

    #[test]
    fn a_refused_model_takes_no_key_from_other_models() {
        let (keys, now) = (three(), Instant::now());
        assert!(keys.refused(0, Of::Model, "o", now) && keys.refused(1, Of::Model, "o", now));
        assert!(!keys.refused(2, Of::Model, "o", now), "no other key is left for it");
        assert_eq!((drawn(&keys, "m", now), drawn(&keys, "o", now)), ("abc".to_owned(), "abc".to_owned()));
        keys.accepted(1, "o");
        assert_eq!(drawn(&keys, "o", now), "b");
        assert!(keys.refused(1, Of::Key, "m", now) && drawn(&keys, "m", now) == "ac");
    }

    #[test]
    fn made_up_models_are_not_collected() {
        let (keys, now) = (three(), Instant::now());
        for n in 0..2_000 {
            keys.refused(0, Of::Model, &format!("made-up-{n}"), now);
        }
        assert!(keys.lock().models.len() <= MOST_MODELS);
        assert_eq!(drawn(&keys, "m", now), "abc");
    }
}
