//! Idempotency keys: a call that came with one is made once, and its answer is given again to who asks again.

mod asked;
mod claim;
mod error;
mod kept;
mod store;
mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use self::claim::{Begun, Job, PATIENCE, Shared, State};
use crate::db::Db;
use crate::types::Timestamp;

pub use self::asked::Asked;
pub use self::claim::Claim;
pub use self::error::Error;
pub use self::kept::{Kept, LARGEST};

/// How long and how much is kept.
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
    /// The call is the first with it.
    First(Claim),
    /// It was made before, and this was the answer.
    Again(Kept),
}

/// All keys in use.
#[derive(Debug)]
pub struct Idempotency(Arc<Shared>);

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

#[cfg(test)]
mod tests;
