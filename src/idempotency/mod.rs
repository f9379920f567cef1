//! Idempotency keys: a call that came with one is made once, and its answer is given again to who asks again.

mod error;
mod store;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::writer::{Begun, Job};
use crate::db::Db;
use crate::types::{RequestId, Timestamp};

pub use self::error::Error;

/// How long a call waits for its record before it is refused.
const PATIENCE: Duration = Duration::from_secs(5);

/// The largest answer that is kept.
pub const LARGEST: usize = 4 << 20;

/// How long and how much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long a key is remembered.
    pub ttl: Duration,
    /// The most bytes of all records together; the oldest go first.
    pub max_size: u64,
}

/// A key's name: the hash of who asked, of what, and of the key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Name([u8; 32]);

/// One call, as its key is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    name: Name,
    fingerprint: [u8; 32],
    request: RequestId,
    at: Timestamp,
}

impl Asked {
    /// The call `request` at `at`: `scope` is whose key it is and what was called, `request_parts` all that its answer
    /// depends on.
    #[must_use]
    pub fn new(request: RequestId, at: Timestamp, scope: &[&[u8]], request_parts: &[&[u8]]) -> Self {
        Self { name: Name(hash(scope)), fingerprint: hash(request_parts), request, at }
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

/// An answer as it was given first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The request that it answered.
    pub request: RequestId,
    /// `provider/model`.
    pub model: Option<Arc<str>>,
    /// Its `content-type`, where it is neither JSON nor events.
    pub kind: Option<Arc<str>>,
    /// Whether the body is a stream's events.
    pub is_stream: bool,
    /// The body.
    pub body: Bytes,
}

/// What a key means for a call.
#[derive(Debug)]
pub enum Claimed {
    /// The call is the first with it.
    First(Claim),
    /// It was made before, and this was the answer.
    Again(Kept),
}

/// All keys in use.
#[derive(Debug)]
pub struct Idempotency(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Never more jobs than calls.
    jobs: mpsc::UnboundedSender<Job>,
    /// In microseconds.
    ttl: AtomicU64,
    max_size: AtomicU64,
}

impl Idempotency {
    /// The keys that are remembered in `db`.
    #[must_use]
    pub fn open(db: Db, bounds: Bounds) -> Self {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let shared = Shared { jobs, ttl: AtomicU64::new(0), max_size: AtomicU64::new(0) };
        let this = Self(Arc::new(shared));
        this.set_bounds(bounds);
        #[expect(
            clippy::disallowed_methods,
            reason = "kept answers have one writer, which ends when nobody can send to it"
        )]
        tokio::spawn(writer::run(db, waiting));
        this
    }

    /// Keeps within other bounds from now on.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.0.ttl.store(u64::try_from(bounds.ttl.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.0.max_size.store(bounds.max_size, Ordering::Relaxed);
    }

    /// Makes `asked` the one call with its key, or gives what was answered before. Its record is in the database before this
    /// returns, so that a crash does not let it be made again.
    ///
    /// # Errors
    /// As the variants of [`Error`] tell.
    pub async fn claim(&self, asked: Asked) -> Result<Claimed, Error> {
        let claim = Claim { shared: self.0.clone(), asked, state: State::Asking };
        let oldest = self.0.oldest(asked.at);
        let (done, begun) = oneshot::channel();
        if self.0.jobs.send(Job::Begin { claim, oldest, done }).is_err() {
            return Err(Error::Unavailable);
        }
        let begun = timeout(PATIENCE, begun).await.map_err(|_| Error::Unavailable)?;
        let (row, runs) = match begun.map_err(|_| Error::Unavailable)? {
            Begun::First(claim) => return Ok(Claimed::First(claim)),
            Begun::Before { row, runs } => (row, runs),
        };
        if row.fingerprint != asked.fingerprint {
            return Err(Error::Mismatch(row.request));
        }
        match row.answer {
            store::Answer::Running if runs => Err(Error::InProgress(row.request)),
            store::Answer::Running => Err(Error::CutOff(row.request)),
            store::Answer::Large => Err(Error::NotKept(row.request)),
            store::Answer::Kept(kept) => Ok(Claimed::Again(kept)),
        }
    }

    /// Forgets what is too old.
    pub fn tidy_up(&self, now: Timestamp) {
        // A writer that is gone has nothing to tidy up.
        let _gone = self.0.jobs.send(Job::Prune { oldest: self.0.oldest(now), max_size: self.0.max_size() });
    }

    /// Waits until all that was told before is in the database.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.0.jobs.send(Job::Close(done)).is_ok() {
            let _gone = timeout(PATIENCE, closed).await;
        }
    }
}

impl Shared {
    fn oldest(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_sub_unsigned(self.ttl.load(Ordering::Relaxed)))
    }

    fn max_size(&self) -> u64 {
        self.max_size.load(Ordering::Relaxed)
    }
}

/// The right to make a call. Dropped without an answer, it leaves the key free for another try.
#[derive(Debug)]
pub struct Claim {
    shared: Arc<Shared>,
    asked: Asked,
    state: State,
}

/// How far a claim came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is not known whether another call had the key.
    Asking,
    /// The call may be made.
    Granted,
    /// Its answer was handed over.
    Answered,
}

impl Claim {
    /// Keeps the answer, before its end goes to the caller. Where it cannot be kept the call is still never made again.
    pub async fn keep(mut self, kept: Kept) {
        self.state = State::Answered;
        let (asked, max_size) = (self.asked, self.shared.max_size());
        let kept = Some(kept).filter(|kept| kept.body.len() <= LARGEST);
        let (done, written) = oneshot::channel();
        let sent = self.shared.jobs.send(Job::Keep { asked, kept, max_size, done }).is_ok();
        if !sent || !matches!(timeout(PATIENCE, written).await, Ok(Ok(()))) {
            let id = asked.request;
            tracing::warn!(%id, "an answer to a call with an idempotency-key could not be kept; who asks again is told so");
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.state == State::Granted {
            // A writer that is gone has closed the gateway.
            let _gone = self.shared.jobs.send(Job::Release(self.asked));
        }
    }
}

#[cfg(test)]
mod tests;
