//! Single flight: of many equal calls one leads, and the others follow what it receives.

use std::collections::{HashMap, VecDeque};
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
    end: Option<Result<Spent, Arc<chat::Error>>>,
}

impl<T> State<T> {
    fn new() -> Self {
        Self { head: None, chunks: VecDeque::new(), dropped: 0, bytes: 0, end: None }
    }

    fn push(&mut self, chunk: Bytes) {
        self.bytes += chunk.len() + CHUNK;
        self.chunks.push_back(chunk);
        while self.bytes > MOST_BYTES {
            let Some(oldest) = self.chunks.pop_front() else { break };
            self.bytes -= oldest.len() + CHUNK;
            self.dropped += 1;
        }
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

/// The flights under way.
pub(super) struct Flights<T>(Mutex<HashMap<CacheKey, watch::Receiver<State<T>>>>);

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self(Mutex::new(HashMap::new()))
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
            return Place::Follow(Follower { flight: flight.clone(), at: 0, over: false });
        }
        if let Some(landed) = landed() {
            return Place::Landed(landed);
        }
        let (state, flight) = watch::channel(State::new());
        flights.insert(key, flight);
        Place::Lead(Lead { key, state, flights: self.clone(), open: true })
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn remove(&self, key: &CacheKey) {
        let removed = self.lock().remove(key);
        // Freed only after the lock was released, since a buffer may have megabytes.
        drop(removed);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<CacheKey, watch::Receiver<State<T>>>> {
        // The map is whole between any two of our statements, so a panic that held the lock has not broken it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The one call that is sent. A lead that is dropped before [`Lead::finish`] cuts its followers off as [`Aborted::Lost`].
pub struct Lead<T> {
    key: CacheKey,
    state: watch::Sender<State<T>>,
    flights: Arc<Flights<T>>,
    /// Whether others may still join.
    open: bool,
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
        let mut overflows = false;
        self.state.send_modify(|state| {
            state.push(chunk);
            overflows = state.dropped > 0;
        });
        if overflows {
            self.close();
        }
    }

    /// A follower from the first chunk on.
    #[must_use]
    pub fn follower(&self) -> Follower<T> {
        Follower { flight: self.state.subscribe(), at: 0, over: false }
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
    over: bool,
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
        self.over = !matches!(next, Some(Ok(_)));
        next
    }

    /// What the lead spent, once the flight ended well.
    #[must_use]
    pub fn spent(&self) -> Option<Spent> {
        self.flight.borrow().end.as_ref()?.as_ref().ok().copied()
    }
}
