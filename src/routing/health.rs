//! The breakers of all targets, shared by every call. They outlive a reload of the configuration.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::breaker::{Breaker, Fault, Standing};
use super::budget::Budget;
use super::target::Target;
use crate::types::{QuickMap, Timestamp};

/// The most breakers at once: callers may name any model of a provider.
const MOST: usize = 4_096;

/// The breakers of targets that have shown faults, and the retry budgets of providers.
#[derive(Debug, Default)]
pub struct Health {
    /// How many breakers there are, so that a healthy gateway takes no lock.
    troubled: AtomicUsize,
    breakers: Mutex<QuickMap<Arc<str>, Breaker>>,
    budgets: Mutex<QuickMap<Arc<str>, Budget>>,
}

/// The state of a target that has shown faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetHealth {
    /// `provider/model`.
    pub target: Arc<str>,
    /// `healthy`, `cooling` or `probing`.
    pub state: &'static str,
    /// When the target may be tried again.
    pub until: Option<Timestamp>,
}

impl Health {
    /// Whether `target` takes calls. Changes nothing.
    #[must_use]
    pub fn state(&self, target: &Target, now: Timestamp) -> Standing {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return Standing::Healthy;
        }
        lock(&self.breakers).get(&target.id).map_or(Standing::Healthy, |breaker| breaker.standing(now))
    }

    /// Whether an attempt may start; takes the probe where one is due, so call it right before the attempt and
    /// then report the outcome: [`Self::succeeded`], [`Self::failed`] or [`Self::abandoned`].
    #[must_use]
    pub fn enter(&self, target: &Target, now: Timestamp) -> bool {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return true;
        }
        lock(&self.breakers).get_mut(&target.id).is_none_or(|breaker| breaker.enter(now))
    }

    /// The target answered well. Report it at the answer's head: a probe holds other calls back until then.
    pub fn succeeded(&self, target: &Target, now: Timestamp) {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut breakers = lock(&self.breakers);
        if breakers.get(&target.id).is_some_and(|breaker| breaker.closes(now)) {
            breakers.remove(&target.id);
        }
        self.troubled.store(breakers.len(), Ordering::Release);
    }

    /// The target showed a fault. `chance` (0 to 1) spreads the end of the cooling.
    pub fn failed(&self, target: &Target, fault: Fault, now: Timestamp, chance: f64) {
        let mut breakers = lock(&self.breakers);
        if breakers.len() >= MOST {
            breakers.retain(|_, breaker| !breaker.is_idle(now));
        }
        if breakers.len() < MOST || breakers.contains_key(&target.id) {
            breakers.entry(target.id.clone()).or_insert_with(Breaker::new).failed(fault, now, chance);
        }
        self.troubled.store(breakers.len(), Ordering::Release);
    }

    /// The attempt ended without an outcome for the target: the caller hung up, or made a mistake.
    pub fn abandoned(&self, target: &Target, now: Timestamp) {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(breaker) = lock(&self.breakers).get_mut(&target.id) {
            breaker.abandoned(now);
        }
    }

    /// A call (not a retry) goes to `provider`, which adds a fifth of a retry to the provider's budget.
    pub fn called(&self, provider: &Arc<str>, now: Timestamp) {
        let mut budgets = lock(&self.budgets);
        match budgets.get_mut(provider) {
            Some(budget) => budget.called(now),
            None => budgets.entry(provider.clone()).or_insert_with(|| Budget::new(now)).called(now),
        }
    }

    /// Whether a retry may go to `provider`; takes one out of the provider's budget.
    #[must_use]
    pub fn may_retry(&self, provider: &Arc<str>, now: Timestamp) -> bool {
        lock(&self.budgets).entry(provider.clone()).or_insert_with(|| Budget::new(now)).take(now)
    }

    /// Every target that has shown faults lately, by name.
    #[must_use]
    pub fn troubled(&self, now: Timestamp) -> Vec<TargetHealth> {
        let breakers = lock(&self.breakers);
        let mut rows: Vec<_> = breakers.iter().map(|(id, breaker)| row(id, breaker.standing(now))).collect();
        rows.sort_by(|a, b| a.target.cmp(&b.target));
        rows
    }
}

fn row(id: &Arc<str>, standing: Standing) -> TargetHealth {
    let (state, until) = match standing {
        Standing::Healthy => ("healthy", None),
        Standing::Ripe | Standing::Probing => ("probing", None),
        Standing::Cooling { until } => ("cooling", Some(until)),
    };
    TargetHealth { target: id.clone(), state, until }
}

/// A panic that held the lock leaves at worst wrong counters, so the lock stays in use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
