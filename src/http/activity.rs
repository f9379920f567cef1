//! What a connection does: how many requests it serves, and since when it serves none.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// What one connection does. Its socket, its requests and its task share this.
pub struct Activity {
    opened: Instant,
    /// Requests whose answers the caller has not taken whole, but for those that were given up.
    live: AtomicUsize,
    /// When the last of them ended, in milliseconds since the connection was opened.
    idle_since: AtomicU64,
    /// Whether bytes wait for the socket to take them.
    unsent: AtomicBool,
    /// Whether another connection needs the place.
    must_leave: AtomicBool,
    /// How many requests came.
    requests: AtomicU64,
    /// Which of them, from 1, is the first whose head has a length and chunks; 0 where none is.
    ambiguous: AtomicU64,
    task: AtomicWaker,
}

impl Activity {
    /// A connection that has just been opened.
    pub fn new() -> Self {
        Self {
            opened: Instant::now(),
            live: AtomicUsize::new(0),
            idle_since: AtomicU64::new(0),
            unsent: AtomicBool::new(false),
            must_leave: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            ambiguous: AtomicU64::new(0),
            task: AtomicWaker::new(),
        }
    }

    /// Whether the connection serves no request, and has nothing left to send.
    pub fn is_idle(&self) -> bool {
        !self.is_serving() && !self.unsent.load(Ordering::Acquire)
    }

    /// Whether a request is being served.
    pub fn is_serving(&self) -> bool {
        self.live.load(Ordering::Acquire) > 0
    }

    /// Since when the connection has served no request.
    pub fn idle_since(&self) -> Instant {
        self.opened + Duration::from_millis(self.idle_since.load(Ordering::Acquire))
    }

    /// Notes whether bytes wait for the socket.
    pub fn note_unsent(&self, unsent: bool) {
        self.unsent.store(unsent, Ordering::Release);
    }

    /// Counts a request; its number, from 1.
    pub fn next_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Notes that the head of the request of this number has a length and chunks. None after it is served.
    pub fn note_ambiguous(&self, request: u64) {
        self.ambiguous.store(request, Ordering::Release);
    }

    /// Whether the request of this number has such a head, or came after one.
    pub fn is_ambiguous(&self, request: u64) -> bool {
        let first = self.ambiguous.load(Ordering::Acquire);
        first != 0 && request >= first
    }

    /// Wakes `task` where the connection is asked to end.
    pub fn listen(&self, task: &Waker) {
        self.task.register(task);
    }

    /// Whether the connection was asked to end.
    pub fn takes_leave(&self) -> bool {
        self.must_leave.load(Ordering::Acquire) && self.must_leave.swap(false, Ordering::AcqRel)
    }

    fn leave(&self) {
        self.must_leave.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// A request that a connection serves, until this is dropped or ended.
pub struct Serving {
    activity: Arc<Activity>,
    is_over: AtomicBool,
}

impl Serving {
    /// A request begins.
    pub fn begin(activity: &Arc<Activity>) -> Self {
        activity.live.fetch_add(1, Ordering::AcqRel);
        Self { activity: activity.clone(), is_over: AtomicBool::new(false) }
    }

    /// The caller took the answer, or it was given up.
    pub fn end(&self) {
        if self.is_over.swap(true, Ordering::AcqRel) {
            return;
        }
        let passed = self.activity.opened.elapsed().as_millis();
        self.activity.idle_since.store(u64::try_from(passed).unwrap_or(u64::MAX), Ordering::Release);
        self.activity.live.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.end();
    }
}

/// All connections that are open.
#[derive(Default)]
pub struct Crowd(Vec<Weak<Activity>>);

impl Crowd {
    /// Adds a connection.
    pub fn joined_by(&mut self, activity: &Arc<Activity>) {
        // Looked through each time that as many have come as there were, so the look costs a connection a fixed amount.
        if self.0.len() == self.0.capacity() {
            self.0.retain(|known| known.strong_count() > 0);
            self.0.reserve(self.0.len().max(64));
        }
        self.0.push(Arc::downgrade(activity));
    }

    /// Asks the connection that has been idle for longest to end; another needs its place.
    pub fn make_room(&mut self) {
        self.0.retain(|known| known.strong_count() > 0);
        let open = self.0.iter().filter_map(Weak::upgrade);
        let idle = open.filter(|one| one.is_idle() && !one.must_leave.load(Ordering::Acquire));
        if let Some(oldest) = idle.min_by_key(|one| one.idle_since()) {
            oldest.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_idle_connection_makes_room_and_one_that_serves_does_not() {
        let all: Vec<Arc<Activity>> = (0..3).map(|_| Arc::new(Activity::new())).collect();
        let mut crowd = Crowd::default();
        all.iter().for_each(|one| crowd.joined_by(one));
        let at = |n: usize, seconds: u64| all[n].idle_since.store(seconds * 1_000, Ordering::Release);
        let asked = |crowd: &mut Crowd| {
            crowd.make_room();
            all.iter().map(|one| one.takes_leave()).collect::<Vec<_>>()
        };
        let serving = Serving::begin(&all[0]);
        at(1, 1);
        assert_eq!(asked(&mut crowd), [false, false, true]);
        serving.end();
        drop(serving);
        assert!(all[0].is_idle());
        [(0, 3), (1, 1), (2, 2)].into_iter().for_each(|(n, seconds)| at(n, seconds));
        assert_eq!(asked(&mut crowd), [false, true, false]);
        all[1].note_unsent(true);
        assert_eq!(asked(&mut crowd), [false, false, true], "what still sends is not idle");
    }
}
