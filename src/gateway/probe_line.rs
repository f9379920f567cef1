//! The line at targets that cool: of the calls that have no other target, one of each key goes at a time, and a few of all keys.
//! So a target that is down is never met by all its callers at once, and each of them still gets its own answer.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::types::QuickMap;

/// The most calls at once to a target that cools, of all keys.
const MOST: usize = 4;

/// The most calls of one key that wait for one target.
const MOST_WAITING: u32 = 64;

/// A call that has no outcome after so long holds nobody back.
const LEASE: Duration = Duration::from_secs(5);

/// How often a call that waits looks again, since places also come free by time.
const LOOK: Duration = Duration::from_millis(100);

/// The lines of all targets.
#[derive(Debug, Default)]
pub struct ProbeLine {
    lines: Mutex<QuickMap<Arc<str>, Line>>,
    waiting: AtomicUsize,
    next: AtomicU64,
    changed: Notify,
}

/// The line of one target.
#[derive(Debug, Default)]
struct Line {
    open: Vec<Open>,
    waiting: QuickMap<Arc<str>, u32>,
}

/// A call that is under way.
#[derive(Debug)]
struct Open {
    n: u64,
    key: Arc<str>,
    since: Instant,
}

/// Who waits, and for which target.
#[derive(Clone, Copy)]
pub struct Waiting<'a> {
    /// The target's id.
    pub target: &'a Arc<str>,
    /// Whose call it is.
    pub key: &'a Arc<str>,
}

/// How a wait ended.
pub enum Turn {
    /// The target takes calls again.
    Open,
    /// It is this call's turn, as long as the place is held.
    Place(ProbePlace),
    /// The time passed, or too many wait.
    None,
}

/// The place of a call in its target's line, until it is dropped.
pub struct ProbePlace {
    line: Arc<ProbeLine>,
    target: Arc<str>,
    n: u64,
}

/// A call that waits, counted until this is dropped.
struct Counted<'a> {
    line: &'a ProbeLine,
    whose: Waiting<'a>,
}

impl ProbeLine {
    /// A place, where one is free now.
    pub fn take(self: &Arc<Self>, Waiting { target, key }: Waiting<'_>) -> Option<ProbePlace> {
        let now = Instant::now();
        let mut lines = self.lock();
        let line = lines.entry(target.clone()).or_default();
        line.open.retain(|open| now.duration_since(open.since) < LEASE);
        if line.open.len() >= MOST || line.open.iter().any(|open| open.key == *key) {
            return None;
        }
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        line.open.push(Open { n, key: key.clone(), since: now });
        Some(ProbePlace { line: self.clone(), target: target.clone(), n })
    }

    /// Waits for a place, or until the target is open again, at most until `until`.
    pub async fn wait(self: &Arc<Self>, whose: Waiting<'_>, until: Instant, is_open: impl Fn() -> bool) -> Turn {
        let Some(_counted) = Counted::new(self, whose) else { return Turn::None };
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if is_open() {
                return Turn::Open;
            }
            if let Some(place) = self.take(whose) {
                return Turn::Place(place);
            }
            let now = Instant::now();
            if now >= until {
                return Turn::None;
            }
            let _woken = timeout_at(until.min(now + LOOK), changed).await;
        }
    }

    fn leave(&self, target: &Arc<str>, change: impl FnOnce(&mut Line)) {
        let mut lines = self.lock();
        if let Some(line) = lines.get_mut(target) {
            change(line);
            if line.open.is_empty() && line.waiting.is_empty() {
                lines.remove(target);
            }
        }
    }

    /// A panic that held the lock leaves at worst a place that lapses.
    fn lock(&self) -> MutexGuard<'_, QuickMap<Arc<str>, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<'a> Counted<'a> {
    fn new(line: &'a ProbeLine, whose: Waiting<'a>) -> Option<Self> {
        let mut lines = line.lock();
        let count = lines.entry(whose.target.clone()).or_default().waiting.entry(whose.key.clone()).or_default();
        if *count >= MOST_WAITING {
            return None;
        }
        *count += 1;
        line.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Self { line, whose })
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        let Waiting { target, key } = self.whose;
        self.line.waiting.fetch_sub(1, Ordering::Relaxed);
        self.line.leave(target, |line| {
            let Some(count) = line.waiting.get_mut(key) else { return };
            *count -= 1;
            if *count == 0 {
                line.waiting.remove(key);
            }
        });
    }
}

impl Drop for ProbePlace {
    fn drop(&mut self) {
        self.line.leave(&self.target, |line| line.open.retain(|open| open.n != self.n));
        if self.line.waiting.load(Ordering::Relaxed) > 0 {
            self.line.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    fn line() -> (Arc<ProbeLine>, Arc<str>, Vec<Arc<str>>) {
        (Arc::default(), "up/m".into(), (0..6).map(|n| format!("k{n}").into()).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn calls_of_one_key_go_one_at_a_time() {
        let (line, target, keys) = line();
        let whose = Waiting { target: &target, key: &keys[0] };
        let until = Instant::now() + Duration::from_secs(60);
        let now = AtomicUsize::new(0);
        let calls = (0..20).map(|_| async {
            let Turn::Place(place) = line.wait(whose, until, || false).await else { panic!("its turn comes") };
            assert_eq!(now.fetch_add(1, Ordering::Relaxed), 0, "two at once");
            tokio::time::sleep(Duration::from_millis(30)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            drop(place);
        });
        join_all(calls).await;
        assert!(line.lock().is_empty(), "nothing is left");
    }

    #[tokio::test(start_paused = true)]
    async fn a_few_keys_go_at_once_and_a_call_that_takes_long_holds_nobody_back() {
        let (line, target, keys) = line();
        let taken: Vec<_> = keys.iter().map(|key| line.take(Waiting { target: &target, key })).collect();
        assert_eq!(taken.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, true, false, false]);
        let other: Arc<str> = "up/n".into();
        assert!(line.take(Waiting { target: &other, key: &keys[0] }).is_some());
        tokio::time::advance(LEASE).await;
        assert!(line.take(Waiting { target: &target, key: &keys[0] }).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_with_its_time_and_where_the_target_is_open() {
        let (line, target, keys) = line();
        let whose = Waiting { target: &target, key: &keys[0] };
        let _place = line.take(whose);
        let began = Instant::now();
        let until = began + Duration::from_secs(2);
        assert!(matches!(line.wait(whose, until, || false).await, Turn::None));
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        assert!(matches!(line.wait(whose, until, || true).await, Turn::Open));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_are_bounded() {
        let (line, target, keys) = line();
        let whose = Waiting { target: &target, key: &keys[0] };
        let _place = line.take(whose);
        let until = Instant::now() + Duration::from_secs(9);
        let mut waiting: Vec<_> = (0..MOST_WAITING).map(|_| Box::pin(line.wait(whose, until, || false))).collect();
        assert!(waiting.iter_mut().all(|wait| wait.as_mut().now_or_never().is_none()));
        assert!(matches!(line.wait(whose, until, || false).now_or_never(), Some(Turn::None)));
        let other = Waiting { key: &keys[1], ..whose };
        assert!(matches!(line.wait(other, until, || false).now_or_never(), Some(Turn::Place(_))));
        drop(waiting);
        assert!(line.wait(whose, until, || false).now_or_never().is_none(), "there is room to wait again");
    }
}
