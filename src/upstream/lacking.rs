//! Which models a provider lacks an API for, as its answers said: of each model by itself, and for a while only, since what one
//! caller's request brought about must not decide for all.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How long an answer counts.
const LAPSE: Duration = Duration::from_secs(600);

/// The most models that are remembered.
const MOST: usize = 1_000;

/// Models for which an API was not there.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    /// Whether there is any, since nearly always there is none.
    any: AtomicBool,
    until: Mutex<HashMap<Box<str>, Instant>>,
}

impl Lacking {
    /// Whether the API was not there for this model lately. The time is asked for only where that depends on it.
    pub(super) fn has(&self, model: &str, now: impl Fn() -> Instant) -> bool {
        if !self.any.load(Ordering::Relaxed) {
            return false;
        }
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner).get(model).copied();
        until.is_some_and(|until| now() < until)
    }

    /// Notes that the API was not there for this model.
    pub(super) fn note(&self, model: &str, now: Instant) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= MOST {
            until.retain(|_, until| now < *until);
        }
        if until.len() < MOST {
            until.insert(model.into(), now + LAPSE);
        }
        drop(until);
        self.any.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_is_of_one_model_and_lapses() {
        let lacking = Lacking::default();
        let began = Instant::now();
        assert!(!lacking.has("a", || began));
        lacking.note("a", began);
        assert!(lacking.has("a", || began) && !lacking.has("b", || began));
        assert!(!lacking.has("a", || began + LAPSE));
        (0..2 * MOST).for_each(|n| lacking.note(&n.to_string(), began));
        assert_eq!(lacking.until.lock().unwrap().len(), MOST);
    }
}
