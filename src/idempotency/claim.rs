//! The right to make a call with a key, and the jobs by which it reaches the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::asked::Asked;
use super::kept::{Kept, LARGEST};
use super::store::Row;
use crate::types::Timestamp;

/// How long a call waits for its record before it is refused.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What all claims share.
#[derive(Debug)]
pub(super) struct Shared {
    /// Never more jobs than calls.
    pub(super) jobs: mpsc::UnboundedSender<Job>,
    /// In microseconds.
    pub(super) ttl: AtomicU64,
    pub(super) max_size: AtomicU64,
}

impl Shared {
    /// What is older is forgotten.
    pub(super) fn oldest(&self, now: Timestamp) -> Timestamp {
        Timestamp(now.0.saturating_sub_unsigned(self.ttl.load(Ordering::Relaxed)))
    }

    /// The most bytes of all records together.
    pub(super) fn max_size(&self) -> u64 {
        self.max_size.load(Ordering::Relaxed)
    }
}

/// What is to be written, and who waits for it.
#[derive(Debug)]
pub(super) enum Job {
    /// Notes a call, unless its key has a record.
    Begin { claim: Claim, oldest: Timestamp, done: oneshot::Sender<Begun> },
    /// Keeps an answer; none where it is too large.
    Keep { asked: Asked, kept: Option<Kept>, max_size: u64, done: oneshot::Sender<()> },
    /// Forgets a call that failed.
    Release(Asked),
    /// Forgets what is old, or too much.
    Prune { oldest: Timestamp, max_size: u64 },
    /// Ends.
    Close(oneshot::Sender<()>),
}

/// What stood at a key.
#[derive(Debug)]
pub(super) enum Begun {
    /// Nothing: the claim is granted. Where nobody waits for it any more, it is let go of as it is dropped.
    First(Claim),
    /// An earlier call's record, and whether that call runs now.
    Before { row: Row, runs: bool },
}

/// The right to make a call. Dropped without an answer, it leaves the key free for another try.
#[derive(Debug)]
pub struct Claim {
    pub(super) shared: Arc<Shared>,
    pub(super) asked: Asked,
    pub(super) state: State,
}

/// How far a claim came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
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
