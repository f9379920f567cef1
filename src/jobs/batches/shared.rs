//! What the tasks of all batches share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::batches::Batches;
use crate::db::Sqlite;
use crate::gateway::Gateway;
use crate::keys::Keys;
use crate::pool::Pool;

/// What the runner works with.
pub struct Work {
    /// The files and batches.
    pub batches: Batches,
    /// Whom the lines call.
    pub gateway: Gateway,
    /// Where the ledger's rows are.
    pub db: Sqlite,
    /// The virtual keys that lines call with.
    pub keys: Arc<Keys>,
    /// Where lines are read.
    pub pool: Arc<Pool>,
    /// The longest line, in bytes.
    pub longest_line: usize,
}

/// What the tasks of all batches share.
pub(super) struct Shared {
    pub(super) work: Work,
    /// As many lines run at once.
    pub(super) places: Arc<Semaphore>,
    /// The calls of lines under way.
    pub(super) calls: AtomicI64,
    pub(super) stop: CancellationToken,
}

impl Shared {
    pub(super) fn batches(&self) -> &Batches {
        &self.work.batches
    }

    /// How many calls of waiting callers are under way.
    pub(super) fn awaited_calls(&self) -> i64 {
        self.work.gateway.parts().metrics.in_flight() - self.calls.load(Ordering::Relaxed)
    }
}
