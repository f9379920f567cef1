//! How large merged calls for embeddings may be, and when there are none: what is known of targets where such calls failed.
//! Pure but for its lock: the time is an argument.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::types::QuickMap;

/// The most vectors of one merged call, where nothing is known.
pub const MOST_INPUTS: usize = 256;

/// The most targets of projects of which something is known.
const MOST_KNOWN: usize = 1_024;

/// So many merged calls in a row that failed, and whose parts were asked alone, end merging for a while.
const IN_A_ROW: u32 = 3;

/// That while at first; it doubles with each further failure, five times at most.
const FIRST_REST: Duration = Duration::from_secs(10);

/// After so long a limit doubles, and failures are forgotten.
const MEMORY: Duration = Duration::from_secs(600);

/// Whose merged calls are meant: a project's, at a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Whose {
    /// The project.
    pub project: Arc<str>,
    /// The target's id.
    pub target: Arc<str>,
}

/// What is known of merged calls.
#[derive(Debug, Default)]
pub struct MergeLimits {
    /// Of how many something is known, so that without any no lock is taken.
    count: AtomicUsize,
    known: Mutex<QuickMap<Whose, Limit>>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    most: usize,
    since: Instant,
    failures: u32,
    failed: Instant,
    rests_until: Instant,
}

impl Limit {
    fn new(now: Instant) -> Self {
        Self { most: MOST_INPUTS, since: now, failures: 0, failed: now, rests_until: now }
    }

    /// The most inputs of one call.
    fn size(&self, now: Instant) -> usize {
        let doublings = now.saturating_duration_since(self.since).as_secs() / MEMORY.as_secs();
        (0..doublings.min(16)).fold(self.most, |most, _| most * 2).min(MOST_INPUTS)
    }

    fn is_idle(&self, now: Instant) -> bool {
        now >= self.rests_until && now.saturating_duration_since(self.failed) >= MEMORY && self.size(now) == MOST_INPUTS
    }

    fn failed(&mut self, now: Instant) {
        if now.saturating_duration_since(self.failed) >= MEMORY {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        self.failed = now;
        if let Some(further) = self.failures.checked_sub(IN_A_ROW) {
            self.rests_until = now + FIRST_REST * (1 << further.min(5));
        }
    }
}

impl MergeLimits {
    /// The most inputs of one merged call; below 2 there is none.
    #[must_use]
    pub fn most(&self, whose: &Whose, now: Instant) -> usize {
        if self.count.load(Ordering::Acquire) == 0 {
            return MOST_INPUTS;
        }
        let known = self.lock();
        match known.get(whose) {
            None => MOST_INPUTS,
            Some(limit) if now < limit.rests_until => 1,
            Some(limit) => limit.size(now),
        }
    }

    /// A merged call failed, and its parts are asked alone.
    pub fn failed(&self, whose: &Whose, now: Instant) {
        self.change(whose, now, |limit| limit.failed(now));
    }

    /// A merged call had a good answer.
    pub fn succeeded(&self, whose: &Whose, now: Instant) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut known = self.lock();
        if let Some(limit) = known.get_mut(whose) {
            limit.failures = 0;
            if limit.size(now) == MOST_INPUTS {
                known.remove(whose);
            }
        }
        self.count.store(known.len(), Ordering::Release);
    }

    /// A call with so many inputs was refused whose parts are good: half of them may be one call.
    pub fn outgrown(&self, whose: &Whose, inputs: usize, now: Instant) {
        self.change(whose, now, |limit| {
            *limit = Limit { most: (inputs / 2).max(1).min(limit.size(now)), ..Limit::new(now) };
        });
    }

    fn change(&self, whose: &Whose, now: Instant, change: impl FnOnce(&mut Limit)) {
        let mut known = self.lock();
        if known.len() >= MOST_KNOWN && !known.contains_key(whose) {
            known.retain(|_, limit| !limit.is_idle(now));
        }
        if known.len() < MOST_KNOWN || known.contains_key(whose) {
            change(known.entry(whose.clone()).or_insert_with(|| Limit::new(now)));
        }
        self.count.store(known.len(), Ordering::Release);
    }

    /// A panic that held the lock leaves at worst a wrong limit.
    fn lock(&self) -> MutexGuard<'_, QuickMap<Whose, Limit>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The parts of a merged call that failed, each of which is asked alone: what becomes of them says whether the call was too
/// large. That is decided where the last of them is dropped.
#[derive(Debug)]
pub struct Trial {
    /// Where the limit is noted.
    pub limits: Arc<MergeLimits>,
    /// Whose call it was.
    pub whose: Whose,
    /// How many inputs it had.
    pub inputs: usize,
    /// How many parts.
    pub parts: usize,
    /// How many of them had an answer, and how many a failure.
    pub passed: AtomicUsize,
    pub failed: AtomicUsize,
}

impl Trial {
    /// Notes how a part fared alone.
    pub fn saw(&self, has_passed: bool) {
        let count = if has_passed { &self.passed } else { &self.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        // Of some, nothing is known: their callers hung up.
        if *self.failed.get_mut() == 0 && *self.passed.get_mut() * 2 >= self.parts {
            self.limits.outgrown(&self.whose, self.inputs, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whose(project: &str) -> Whose {
        Whose { project: project.into(), target: "up/m".into() }
    }

    fn trial(limits: &Arc<MergeLimits>, (parts, inputs): (usize, usize), outcomes: &[bool]) {
        let limits = limits.clone();
        let (passed, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let trial = Trial { limits, whose: whose("p"), inputs, parts, passed, failed };
        outcomes.iter().for_each(|has_passed| trial.saw(*has_passed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_is_too_large_where_its_parts_pass_alone() {
        let (limits, now) = (Arc::new(MergeLimits::default()), Instant::now());
        let most = || limits.most(&whose("p"), now);
        for (parts, outcomes) in [(4, [true, true, true, false].as_slice()), (4, &[true]), (4, &[])] {
            trial(&limits, (parts, 40), outcomes);
            assert_eq!(most(), MOST_INPUTS, "{outcomes:?}");
        }
        trial(&limits, (4, 40), &[true, true]);
        assert_eq!(most(), 20);
        trial(&limits, (4, 20), &[true; 4]);
        assert_eq!(most(), 10);
        trial(&limits, (2, 200), &[true; 2]);
        assert_eq!((most(), limits.most(&whose("other"), now)), (10, MOST_INPUTS), "a limit never grows by a failure");
        for (minutes, size) in [(9, 10), (10, 20), (20, 40), (600, MOST_INPUTS)] {
            assert_eq!(limits.most(&whose("p"), now + Duration::from_secs(minutes * 60)), size, "after {minutes} min");
        }
    }

    #[test]
    fn failures_in_a_row_end_merging_for_a_while_and_a_good_call_begins_anew() {
        let (limits, now) = (MergeLimits::default(), Instant::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let is_merged = |seconds| limits.most(&whose("p"), at(seconds)) == MOST_INPUTS;
        limits.failed(&whose("p"), at(0));
        limits.failed(&whose("p"), at(0));
        assert!(is_merged(0));
        limits.succeeded(&whose("p"), at(0));
        for _ in 0..3 {
            assert!(is_merged(1));
            limits.failed(&whose("p"), at(1));
        }
        assert!(!is_merged(1) && !is_merged(10) && is_merged(11));
        limits.failed(&whose("p"), at(11));
        assert!(!is_merged(30) && is_merged(31), "twice as long");
        assert_eq!(limits.most(&whose("other"), at(11)), MOST_INPUTS);
        limits.failed(&whose("p"), at(700));
        assert!(is_merged(700), "what was so long ago counts no more");
        limits.succeeded(&whose("p"), at(700));
        assert!(limits.lock().is_empty());
    }

    #[test]
    fn what_is_known_is_bounded() {
        let (limits, now) = (MergeLimits::default(), Instant::now());
        for n in 0..MOST_KNOWN + 9 {
            limits.failed(&whose(&n.to_string()), now);
        }
        assert_eq!(limits.lock().len(), MOST_KNOWN);
        limits.failed(&whose("later"), now + MEMORY);
        assert_eq!(limits.lock().len(), 1);
    }
}
