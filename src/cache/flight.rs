//! Single flight: of many equal calls one leads, and the others follow what it receives.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

use super::CacheKey;
use crate::chat::{self, Usage};
use crate::types::Nanos;

/// A flight holds this many bytes for followers that join late.
///
/// Beyond it the oldest chunks are dropped, no follower may join, and a follower that still needed them is cut off as
/// [`Aborted::Behind`]; followers that read in time see everything. So a slow follower costs only itself, and a flight's
/// memory is bounded.
const MOST_BYTES: usize = 8 << 20;

/// All flights together hold this many bytes; where they hold more, each sheds what is beyond [`FAIR_BYTES`] as it grows.
const MOST_OF_ALL: usize = 128 << 20;
const FAIR_BYTES: usize = 256 << 10;

/// A lead is so many bytes ahead of its fastest follower at most.
const MOST_AHEAD: u64 = 256 << 10;

/// What a chunk takes beside its bytes.
const CHUNK: usize = 64;

/// What a call cost, for its followers' rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// The lead's tokens.
    pub usage: Option<Usage>,
    /// The lead's cost: what each follower saved.
    pub cost: Option<Nanos>,
}

/// How a flight ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// All chunks were pushed.
    Complete(Spent),
    /// The call failed, with the error that the lead's caller reads.
    Failed(chat::Error),
}

/// Why a follower gets no more.
#[derive(Clone, Debug)]
pub enum Aborted {
    /// The lead was dropped before it finished: it was cancelled, or it panicked.
    Lost,
    /// The follower fell further behind than a flight holds.
    Behind,
    /// The lead's call failed.
    Failed(Arc<chat::Error>),
}

struct State<T> {
    head: Option<T>,
    chunks: VecDeque<Bytes>,
    /// Chunks dropped from the front.
    dropped: usize,
    bytes: usize,
    /// What all flights hold.
    of_all: Arc<AtomicUsize>,
    end: Option<Result<Spent, Arc<chat::Error>>>,
}

impl<T> State<T> {
    fn new(of_all: Arc<AtomicUsize>) -> Self {
        Self { head: None, chunks: VecDeque::new(), dropped: 0, bytes: 0, of_all, end: None }
    }

    fn push(&mut self, chunk: Bytes) {
        let size = chunk.len() + CHUNK;
        self.bytes += size;
        let all = self.of_all.fetch_add(size, Ordering::AcqRel) + size;
        self.chunks.push_back(chunk);
        let most = if all > MOST_OF_ALL { FAIR_BYTES.max(size) } else { MOST_BYTES };
        while self.bytes > most {
            let Some(oldest) = self.chunks.pop_front() else { break };
            self.release(oldest.len() + CHUNK);
            self.dropped += 1;
        }
    }

    fn release(&mut self, size: usize) {
        self.bytes -= size;
        self.of_all.fetch_sub(size, Ordering::AcqRel);
    }

    fn has(&self, at: usize) -> bool {
        at < self.dropped + self.chunks.len() || self.end.is_some()
    }

    /// The chunk at this place, or how the flight ended.
    fn next(&self, at: usize) -> Option<Result<Bytes, Aborted>> {
        let Some(index) = at.checked_sub(self.dropped) else {
            return Some(Err(Aborted::Behind));
        };
        if let Some(chunk) = self.chunks.get(index) {
            return Some(Ok(chunk.clone()));
        }
        match &self.end {
            Some(Ok(_)) => None,
            Some(Err(error)) => Some(Err(Aborted::Failed(error.clone()))),
            None => Some(Err(Aborted::Lost)),
        }
    }
}

impl<T> Drop for State<T> {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

/// How far the fastest follower of a flight has read.
#[derive(Debug)]
struct Pace(watch::Sender<u64>);

impl Pace {
    /// A follower has read so many bytes.
    fn reached(&self, bytes: u64) {
        self.0.send_if_modified(|fastest| {
            let is_faster = bytes > *fastest;
            *fastest = bytes.max(*fastest);
            is_faster
        });
    }
}

/// A flight, as followers join it.
struct Flight<T> {
    state: watch::Receiver<State<T>>,
    pace: Arc<Pace>,
}

/// The flights under way.
pub(super) struct Flights<T> {
    all: Mutex<HashMap<CacheKey, Flight<T>>>,
    bytes: Arc<AtomicUsize>,
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self { all: Mutex::new(HashMap::new()), bytes: Arc::default() }
    }
}

/// A place in a flight, or what made one needless.
pub(super) enum Place<T, H> {
    Lead(Lead<T>),
    Follow(Follower<T>),
    Landed(H),
}

impl<T> Flights<T> {
    /// Follows the flight of `key`; where there is none, and `landed` finds nothing that an ended one left, leads.
    ///
    /// `landed` is asked while no flight can begin or end, so that no call slips in between an answer's arrival in
    /// the cache and its flight's end.
    pub(super) fn join<H>(self: &Arc<Self>, key: CacheKey, landed: impl FnOnce() -> Option<H>) -> Place<T, H> {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(&key) {
            return Place::Follow(Follower::of(flight.state.clone(), flight.pace.clone()));
        }
        if let Some(landed) = landed() {
            return Place::Landed(landed);
        }
        let (sender, state) = watch::channel(State::new(self.bytes.clone()));
        let pace = Arc::new(Pace(watch::Sender::new(0)));
        flights.insert(key, Flight { state, pace: pace.clone() });
        Place::Lead(Lead { key, state: sender, flights: self.clone(), open: true, pushed: 0, pace })
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn remove(&self, key: &CacheKey) {
        let removed = self.lock().remove(key);
        // Freed only after the lock was released, since a buffer may have megabytes.
        drop(removed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, Flight<T>>> {
        // The map is whole between any two of our statements, so a panic that held the lock has not broken it.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one call that is sent. A lead that is dropped before [`Lead::finish`] cuts its followers off as [`Aborted::Lost`].
pub struct Lead<T> {
    key: CacheKey,
    state: watch::Sender<State<T>>,
    flights: Arc<Flights<T>>,
    /// Whether others may still join.
    open: bool,
    /// How many bytes were pushed.
    pushed: u64,
    pace: Arc<Pace>,
}

impl<T> Lead<T> {
    /// Publishes status and headers, before any chunk.
    pub fn head(&self, head: T) {
        self.state.send_modify(|state| state.head = Some(head));
    }

    /// Passes a chunk on. Never waits.
    pub fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() || (!self.open && self.state.receiver_count() == 0) {
            return;
        }
        self.pushed += chunk.len() as u64;
        let mut overflows = false;
        self.state.send_modify(|state| {
            state.push(chunk);
            overflows = state.dropped > 0;
        });
        if overflows {
            self.close();
        }
    }

    /// Waits while the fastest follower is far behind: then all are, and nobody needs more just now. So a slow reader holds
    /// back its provider, and takes no memory for what it does not read.
    pub async fn paced(&self) {
        let enough = self.pushed.saturating_sub(MOST_AHEAD);
        // The sender lives as long as this.
        let mut fastest = self.pace.0.subscribe();
        let _reached = fastest.wait_for(|fastest| *fastest >= enough).await.is_ok();
    }

    /// A follower from the first chunk on.
    #[must_use]
    pub fn follower(&self) -> Follower<T> {
        Follower::of(self.state.subscribe(), self.pace.clone())
    }

    /// How many follow.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.state.receiver_count() - usize::from(self.open)
    }

    /// Ends the flight. What is to be found in the cache must be put there before.
    pub fn finish(mut self, outcome: Outcome) {
        let end = match outcome {
            Outcome::Complete(spent) => Ok(spent),
            Outcome::Failed(error) => Err(Arc::new(error)),
        };
        // Before the end is told: a follower that is served anew must not find this flight again.
        self.close();
        self.state.send_modify(|state| state.end = Some(end));
    }

    fn close(&mut self) {
        if self.open {
            self.open = false;
            self.flights.remove(&self.key);
        }
    }
}

impl<T> Drop for Lead<T> {
    fn drop(&mut self) {
        self.close();
    }
}

/// A follower of a flight, which reads every chunk from the first, whenever it joined.
pub struct Follower<T> {
    flight: watch::Receiver<State<T>>,
    at: usize,
    /// How many bytes were read.
    read: u64,
    pace: Arc<Pace>,
    over: bool,
}

impl<T> Follower<T> {
    fn of(flight: watch::Receiver<State<T>>, pace: Arc<Pace>) -> Self {
        Self { flight, at: 0, read: 0, pace, over: false }
    }
}

impl<T: Clone> Follower<T> {
    /// Waits for status and headers.
    ///
    /// # Errors
    /// [`Aborted`] where the flight ended before the head came.
    pub async fn head(&mut self) -> Result<T, Aborted> {
        let state = self.flight.wait_for(|state| state.head.is_some() || state.end.is_some()).await;
        let Ok(state) = state else {
            return Err(Aborted::Lost);
        };
        match (&state.head, &state.end) {
            (Some(head), _) => Ok(head.clone()),
            (None, Some(Err(error))) => Err(Aborted::Failed(error.clone())),
            (None, _) => Err(Aborted::Lost),
        }
    }

    /// Waits for the next chunk. `None` once the flight ended well; after an error as well.
    pub async fn next(&mut self) -> Option<Result<Bytes, Aborted>> {
        if self.over {
            return None;
        }
        let at = self.at;
        let next = match self.flight.wait_for(|state| state.has(at)).await {
            Ok(state) => state.next(at),
            Err(_) => Some(Err(Aborted::Lost)),
        };
        self.at += 1;
        if let Some(Ok(chunk)) = &next {
            self.read += chunk.len() as u64;
            self.pace.reached(self.read);
        }
        self.over = !matches!(next, Some(Ok(_)));
        next
    }

    /// What the lead spent, once the flight ended well.
    #[must_use]
    pub fn spent(&self) -> Option<Spent> {
        self.flight.borrow().end.as_ref()?.as_ref().ok().copied()
    }
}
