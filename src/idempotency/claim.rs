//! The right to make a call with a key, and the jobs by which it reaches the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::asked::Asked;
use super::store::Row;
use super::stored_answer::{LARGEST, StoredAnswer};
use crate::types::{RequestId, Timestamp};

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
    /// How many bytes of answers under way are recorded.
    pub(super) recorded: AtomicUsize,
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

/// A change to write, with the sender for its outcome.
#[derive(Debug)]
pub(super) enum Job {
    /// Notes a call, unless its key has a record.
    Begin { claim: Claim, oldest: Timestamp, done: oneshot::Sender<Begun> },
    /// Stores an answer; `None` where the answer is too large.
    Store { asked: Asked, answer: Option<StoredAnswer>, max_size: u64, done: oneshot::Sender<()> },
    /// Deletes the record of a call that failed.
    Release(Asked),
    /// Erases the stored answers of requests.
    Erase { requests: Vec<RequestId>, done: oneshot::Sender<u64> },
    /// Deletes records that are old, or beyond the size bound.
    Prune { oldest: Timestamp, max_size: u64 },
    /// Ends.
    Close(oneshot::Sender<()>),
}

/// What a key's record was.
#[derive(Debug)]
pub(super) enum Begun {
    /// No record: the claim is granted. A claim that no call waits for any more releases its key when it is dropped.
    First(Claim),
    /// An earlier call's record, and whether that call runs now.
    Before { row: Row, runs: bool },
}

/// The right to make a call. A claim that is dropped without an answer releases the key for another try.
#[derive(Debug)]
pub struct Claim {
    pub(super) shared: Arc<Shared>,
    pub(super) asked: Asked,
    pub(super) state: State,
}

/// The state of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is not known whether another call had the key.
    Asking,
    /// The call may be made.
    Granted,
    /// The answer was sent to the writer.
    Answered,
}

impl Claim {
    /// Stores the answer, before its end goes to the caller. A call whose answer cannot be stored is still not made again.
    pub async fn store(self, answer: StoredAnswer) {
        self.finish(Some(answer).filter(|answer| answer.body.len() <= LARGEST)).await;
    }

    /// Stores that the call was answered, whose answer is too large.
    pub(super) async fn store_none(self) {
        self.finish(None).await;
    }

    async fn finish(mut self, answer: Option<StoredAnswer>) {
        self.state = State::Answered;
        let (asked, max_size) = (self.asked, self.shared.max_size());
        let (done, written) = oneshot::channel();
        let sent = self.shared.jobs.send(Job::Store { asked, answer, max_size, done }).is_ok();
        if !sent || !matches!(timeout(PATIENCE, written).await, Ok(Ok(()))) {
            let id = asked.request;
            tracing::warn!(%id, "an answer to a call with an idempotency-key could not be stored; later calls with the key get an error");
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
