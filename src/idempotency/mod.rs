//! Idempotency keys: a call with a key is made once, and later calls with the key get the stored answer.

mod asked;
mod claim;
mod error;
mod recording;
mod store;
mod stored_answer;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::claim::{Begun, Job, PATIENCE, Shared, State};
use crate::db::Db;
use crate::types::{RequestId, Timestamp};

pub use self::asked::Asked;
pub use self::claim::Claim;
pub use self::error::Error;
pub use self::recording::Recording;
pub use self::stored_answer::StoredAnswer;

/// How long and how much is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How long a key is remembered.
    pub ttl: Duration,
    /// The most bytes of all records together; the oldest go first.
    pub max_size: u64,
}

/// What a key means for a call.
#[derive(Debug)]
pub enum Claimed {
    /// The call is the first with the key.
    First(Claim),
    /// The call was made before, with this answer.
    Again(StoredAnswer),
}

/// All keys in use.
#[derive(Debug)]
pub struct Idempotency(Arc<Shared>);

impl Idempotency {
    /// The keys that are remembered in `db`.
    #[must_use]
    pub fn open(db: Db, bounds: Bounds) -> Self {
        let (jobs, waiting) = mpsc::unbounded_channel();
        let shared =
            Shared { jobs, ttl: AtomicU64::new(0), max_size: AtomicU64::new(0), recorded: AtomicUsize::new(0) };
        let this = Self(Arc::new(shared));
        this.set_bounds(bounds);
        #[expect(
            clippy::disallowed_methods,
            reason = "stored answers have one writer, which ends when nobody can send to it"
        )]
        tokio::spawn(writer::run(db, waiting));
        this
    }

    /// Sets other bounds, for later writes.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.0.ttl.store(u64::try_from(bounds.ttl.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        self.0.max_size.store(bounds.max_size, Ordering::Relaxed);
    }

    /// Makes `asked` the one call with its key, or returns the answer of an earlier call. The record is in the database before
    /// this returns, so that the call is not made again after a crash.
    ///
    /// # Errors
    /// As [`Error`] lists.
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
            store::Answer::Large => Err(Error::NotStored(row.request)),
            store::Answer::Erased => Err(Error::Erased(row.request)),
            store::Answer::Stored(answer) => Ok(Claimed::Again(answer)),
        }
    }

    /// Erases the stored answers of some requests, after every earlier change; returns how many there were. The keys stay in
    /// use, so that the calls are not made again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where the database cannot be written.
    pub async fn erase(&self, requests: Vec<RequestId>) -> Result<u64, Error> {
        let (done, erased) = oneshot::channel();
        if requests.is_empty() || self.0.jobs.send(Job::Erase { requests, done }).is_err() {
            return Ok(0);
        }
        let erased = timeout(PATIENCE, erased).await.map_err(|_| Error::Unavailable)?;
        erased.map_err(|_| Error::Unavailable)
    }

    /// Deletes old records.
    pub fn tidy_up(&self, now: Timestamp) {
        // A writer that is gone has nothing to tidy up.
        let _gone = self.0.jobs.send(Job::Prune { oldest: self.0.oldest(now), max_size: self.0.max_size() });
    }

    /// Waits until every earlier change is in the database.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.0.jobs.send(Job::Close(done)).is_ok() {
            let _gone = timeout(PATIENCE, closed).await;
        }
    }
}

#[cfg(test)]
mod tests;
