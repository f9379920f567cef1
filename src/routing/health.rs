//! The breakers of all targets, shared by every call. They outlive a reload of the configuration.
//!
//! What one key causes costs no other key its answer: a target's faults cool it for the key whose calls showed them, and for
//! all only where the calls of several keys did, or where the cause can be no call: no connection, or a time that the provider
//! named.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::breaker::{Breaker, Fault, MEMORY, Standing};
use super::budget::Budgets;
use super::target::Target;
use crate::types::{QuickMap, Timestamp};

/// The most targets with breakers at once: callers may name any model of a provider.
const MOST: usize = 4_096;

/// The most keys with a breaker of their own for one target.
const MOST_KEYS: usize = 1_024;

/// The breakers of targets that have shown faults, and the retry budgets of providers and of the process.
#[derive(Debug, Default)]
pub struct Health {
    /// How many targets have breakers, and how many servers are down, so that a healthy gateway takes no lock.
    troubled: AtomicUsize,
    known: Mutex<Known>,
    budgets: Mutex<Budgets>,
}

/// The targets and servers that are not known to be well.
#[derive(Debug, Default)]
struct Known {
    targets: QuickMap<Arc<str>, Breakers>,
    /// Servers that report to be unwell, by their providers.
    servers: QuickMap<Arc<str>, ServerDown>,
}

/// A local server that is asked for its health, and is not well.
#[derive(Debug)]
struct ServerDown {
    reason: Arc<str>,
    /// When the next report is overdue, so that the last one counts no more.
    until: Timestamp,
}

/// The breakers of one target.
#[derive(Debug)]
struct Breakers {
    /// For all calls.
    all: Breaker,
    /// For the calls of one key.
    keys: QuickMap<Arc<str>, Breaker>,
    /// When any call was answered well last, since there are breakers.
    good: Option<Timestamp>,
    /// Whose call showed the first fault that is counted for all, and whether those of others did too.
    first: Option<Arc<str>>,
    is_several: bool,
}

/// An attempt, as far as its target's health goes.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// Who is asked.
    pub target: &'a Target,
    /// Whose call it is.
    pub key: &'a Arc<str>,
    /// When it began.
    pub began: Timestamp,
}

/// Whether an attempt may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// It may.
    Open,
    /// It may, and others wait for how it ends.
    Probe,
    /// It may not: the target cools, or is probed.
    Closed,
}

/// The state of a target that has shown faults.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TargetHealth {
    /// `provider/model`, or `provider/*` for all models of a server that is down.
    pub target: Arc<str>,
    /// `healthy`, `cooling` or `probing`: for all, or else for the keys that it is worst for.
    pub state: &'static str,
    /// When the target may be tried again.
    pub until: Option<Timestamp>,
    /// For how many keys alone it is so; `None` where it is for all.
    pub keys: Option<usize>,
    /// What its server reports, where that is the cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Arc<str>>,
}

impl Known {
    fn standing(&self, target: &Target, key: &str, now: Timestamp) -> Standing {
        let own = self.targets.get(&target.id).map_or(Standing::Healthy, |breakers| breakers.standing(key, now));
        match self.servers.get(&target.provider).filter(|server| now < server.until) {
            Some(server) => worse(own, Standing::Cooling { until: server.until }),
            None => own,
        }
    }

    fn enter(&mut self, target: &Target, key: &str, now: Timestamp) -> Entry {
        match self.standing(target, key, now) {
            Standing::Healthy => Entry::Open,
            Standing::Probing | Standing::Cooling { .. } => Entry::Closed,
            Standing::Ripe => {
                if let Some(breakers) = self.targets.get_mut(&target.id) {
                    breakers.enter(key, now);
                }
                Entry::Probe
            }
        }
    }

    fn count(&self) -> usize {
        self.targets.len() + self.servers.len()
    }
}

impl Breakers {
    fn new() -> Self {
        Self { all: Breaker::new(), keys: QuickMap::default(), good: None, first: None, is_several: false }
    }

    fn standing(&self, key: &str, now: Timestamp) -> Standing {
        let own = self.keys.get(key).map_or(Standing::Healthy, |breaker| breaker.standing(now));
        worse(self.all.standing(now), own)
    }

    fn enter(&mut self, key: &str, now: Timestamp) {
        self.all.enter(now);
        if let Some(own) = self.keys.get_mut(key) {
            own.enter(now);
        }
    }

    fn failed(&mut self, asking: Asking<'_>, fault: Fault, now: Timestamp, chance: f64) {
        let Asking { key, began, .. } = asking;
        let is_nobodys =
            matches!(fault, Fault::Unreachable | Fault::Paused { .. } | Fault::Throttled { retry_after: Some(_) });
        if is_nobodys {
            return self.all.failed(fault, began, now, chance);
        }
        if self.keys.len() >= MOST_KEYS && !self.keys.contains_key(key) {
            self.keys.retain(|_, breaker| !breaker.is_idle(now));
        }
        let is_free = self.keys.get(key).is_none_or(Breaker::is_closed);
        if self.keys.len() < MOST_KEYS || self.keys.contains_key(key) {
            self.keys.entry(key.clone()).or_insert_with(Breaker::new).failed(fault, began, now, chance);
        }
        if !self.all.is_closed() || (is_free && self.counts_for_all(key, fault, now)) {
            self.all.failed(fault, began, now, chance);
        }
    }

    /// Whether a fault that a call of `key` showed counts for all: one key's alone never cool the target for others.
    fn counts_for_all(&mut self, key: &Arc<str>, fault: Fault, now: Timestamp) -> bool {
        if fault == Fault::Slow && self.good.is_some_and(|good| now - good < MEMORY) {
            return false;
        }
        if self.all.is_idle(now) {
            (self.first, self.is_several) = (None, false);
        }
        self.is_several |= *self.first.get_or_insert_with(|| key.clone()) != *key;
        self.is_several || !self.all.is_at_brink(fault, now)
    }

    fn succeeded(&mut self, Asking { key, began, .. }: Asking<'_>, now: Timestamp) {
        self.good = Some(now);
        self.all.succeeded(began, now);
        let Some(own) = self.keys.get_mut(key) else { return };
        let was_closed = own.is_closed();
        own.succeeded(began, now);
        if !was_closed && own.is_closed() && !self.is_several && self.all.is_closed() {
            // What is counted for all are that key's faults, and the target has recovered from those.
            self.all = Breaker::new();
        }
        if own.is_idle(now) {
            self.keys.remove(key);
        }
    }

    fn begun(&mut self, Asking { key, began, .. }: Asking<'_>, now: Timestamp) {
        self.all.begun(began, now);
        if let Some(own) = self.keys.get_mut(key) {
            own.begun(began, now);
        }
    }

    fn ended_well(&mut self, key: &str, now: Timestamp) {
        self.good = Some(now);
        self.all.ended_well(now);
        let Some(own) = self.keys.get_mut(key) else { return };
        own.ended_well(now);
        if own.is_idle(now) {
            self.keys.remove(key);
        }
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        self.all.is_idle(now) && self.keys.values().all(|breaker| breaker.is_idle(now))
    }

    /// The worst standing, and for how many keys alone it is so.
    fn worst(&self, now: Timestamp) -> (Standing, Option<usize>) {
        let all = self.all.standing(now);
        let own = self.keys.values().map(|breaker| breaker.standing(now)).filter(|own| *own != Standing::Healthy);
        let (count, worst) = own.fold((0, Standing::Healthy), |(count, worst), own| (count + 1, worse(worst, own)));
        if all == Standing::Healthy && count > 0 { (worst, Some(count)) } else { (all, None) }
    }
}

/// The one that lets fewer calls through.
fn worse(one: Standing, other: Standing) -> Standing {
    let rank = |standing| match standing {
        Standing::Healthy => (0, Timestamp::default()),
        Standing::Ripe => (1, Timestamp::default()),
        Standing::Probing => (2, Timestamp::default()),
        Standing::Cooling { until } => (3, until),
    };
    if rank(other) > rank(one) { other } else { one }
}

impl Health {
    /// Whether `target` takes calls of `key`. Changes nothing.
    #[must_use]
    pub fn state(&self, target: &Target, key: &str, now: Timestamp) -> Standing {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return Standing::Healthy;
        }
        lock(&self.known).standing(target, key, now)
    }

    /// Until when the provider of `target` asked for quiet by a rate limit, where that has not passed.
    #[must_use]
    pub fn quiet(&self, target: &Target, now: Timestamp) -> Option<Timestamp> {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return None;
        }
        lock(&self.known).targets.get(&target.id)?.all.quiet(now)
    }

    /// Whether an attempt may start; takes the place of a probe where one is due, so call it right before the attempt and
    /// then report the outcome: [`Self::succeeded`], [`Self::failed`] or [`Self::abandoned`].
    #[must_use]
    pub fn enter(&self, Asking { target, key, began }: Asking<'_>) -> Entry {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return Entry::Open;
        }
        lock(&self.known).enter(target, key, began)
    }

    /// A stream of the target's has begun: probes hold other calls back until then. Report its end as well:
    /// [`Self::ended_well`] or [`Self::failed`].
    pub fn begun(&self, asking: Asking<'_>, now: Timestamp) {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(breakers) = lock(&self.known).targets.get_mut(&asking.target.id) {
            breakers.begun(asking, now);
        }
    }

    /// A stream of the target's, to a call of `key`, ended well.
    pub fn ended_well(&self, target: &Target, key: &str, now: Timestamp) {
        let mut known = lock(&self.known);
        if let Some(breakers) = known.targets.get_mut(&target.id) {
            breakers.ended_well(key, now);
            if breakers.is_idle(now) {
                known.targets.remove(&target.id);
            }
        }
        self.troubled.store(known.count(), Ordering::Release);
    }

    /// Whether any target has shown faults lately, or any server is down.
    #[must_use]
    pub fn has_troubled(&self) -> bool {
        self.troubled.load(Ordering::Acquire) > 0
    }

    /// The target gave a whole answer that is good.
    pub fn succeeded(&self, asking: Asking<'_>, now: Timestamp) {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut known = lock(&self.known);
        if let Some(breakers) = known.targets.get_mut(&asking.target.id) {
            breakers.succeeded(asking, now);
            if breakers.is_idle(now) {
                known.targets.remove(&asking.target.id);
            }
        }
        self.troubled.store(known.count(), Ordering::Release);
    }

    /// The target showed a fault. `chance` (0 to 1) spreads the end of the cooling.
    pub fn failed(&self, asking: Asking<'_>, fault: Fault, now: Timestamp, chance: f64) {
        let mut known = lock(&self.known);
        let (targets, id) = (&mut known.targets, &asking.target.id);
        if targets.len() >= MOST {
            targets.retain(|_, breakers| !breakers.is_idle(now));
        }
        if targets.len() < MOST || targets.contains_key(id) {
            targets.entry(id.clone()).or_insert_with(Breakers::new).failed(asking, fault, now, chance);
        }
        self.troubled.store(known.count(), Ordering::Release);
    }

    /// The attempt ended without an outcome for the target: the caller hung up, or made a mistake.
    pub fn abandoned(&self, Asking { target, key, began }: Asking<'_>, now: Timestamp) {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(breakers) = lock(&self.known).targets.get_mut(&target.id) {
            breakers.all.abandoned(began, now);
            if let Some(own) = breakers.keys.get_mut(key) {
                own.abandoned(began, now);
            }
        }
    }

    /// A call (not a retry) goes to `provider`, which adds a fifth of a retry to its budget and to that of the process.
    pub fn called(&self, provider: &Arc<str>, now: Timestamp) {
        lock(&self.budgets).called(provider, now);
    }

    /// Whether a retry may go to `provider`; takes one out of the provider's budget, and out of that of the process.
    #[must_use]
    pub fn may_retry(&self, provider: &Arc<str>, now: Timestamp) -> bool {
        lock(&self.budgets).take(provider, now)
    }

    /// Whether a hedge may go to `provider`: one more attempt beside one that runs, out of the same budgets as a retry.
    #[must_use]
    pub fn may_hedge(&self, provider: &Arc<str>, now: Timestamp) -> bool {
        self.may_retry(provider, now)
    }

    /// Forgets every fault, every report and every budget.
    pub fn forget(&self) {
        let mut known = lock(&self.known);
        *known = Known::default();
        *lock(&self.budgets) = Budgets::default();
        self.troubled.store(0, Ordering::Release);
    }

    /// The server of `provider` reports that it is not well: its models cool until then, unless it reports otherwise before.
    /// Returns whether that is news.
    pub fn server_is_down(&self, provider: &Arc<str>, reason: &str, until: Timestamp) -> bool {
        let mut known = lock(&self.known);
        let before = known.servers.insert(provider.clone(), ServerDown { reason: reason.into(), until });
        self.troubled.store(known.count(), Ordering::Release);
        before.is_none_or(|before| *before.reason != *reason)
    }

    /// The server of `provider` is well, or not asked any more. Its models that cool since it was not are probed by their next
    /// calls. Returns whether that is news.
    pub fn server_is_well(&self, provider: &str, now: Timestamp) -> bool {
        if self.troubled.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut known = lock(&self.known);
        let is_news = known.servers.remove(provider).is_some();
        if is_news {
            let is_its = |id: &str| id.strip_prefix(provider).is_some_and(|rest| rest.starts_with('/'));
            for (_, breakers) in known.targets.iter_mut().filter(|(id, _)| is_its(id)) {
                breakers.all.ripen(now);
                breakers.keys.values_mut().for_each(|own| own.ripen(now));
            }
        }
        self.troubled.store(known.count(), Ordering::Release);
        is_news
    }

    /// What the server of `provider` reports, where it is not well.
    #[must_use]
    pub fn server_reason(&self, provider: &str, now: Timestamp) -> Option<Arc<str>> {
        let known = lock(&self.known);
        known.servers.get(provider).filter(|server| now < server.until).map(|server| server.reason.clone())
    }

    /// Every target that has shown faults lately, and every server that is down, by name.
    #[must_use]
    pub fn troubled(&self, now: Timestamp) -> Vec<TargetHealth> {
        let known = lock(&self.known);
        let mut rows: Vec<_> = known.targets.iter().map(|(id, breakers)| row(id, breakers.worst(now))).collect();
        for (provider, server) in known.servers.iter().filter(|(_, server)| now < server.until) {
            let cooling = (Standing::Cooling { until: server.until }, None);
            let row = row(&format!("{provider}/*").into(), cooling);
            rows.push(TargetHealth { reason: Some(server.reason.clone()), ..row });
        }
        rows.sort_by(|a, b| a.target.cmp(&b.target));
        rows
    }
}

fn row(id: &Arc<str>, (standing, keys): (Standing, Option<usize>)) -> TargetHealth {
    let (state, until) = match standing {
        Standing::Healthy => ("healthy", None),
        Standing::Ripe | Standing::Probing => ("probing", None),
        Standing::Cooling { until } => ("cooling", Some(until)),
    };
    TargetHealth { target: id.clone(), state, until, keys, reason: None }
}

/// A panic that held the lock leaves at worst wrong counters, so the lock stays in use.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
