//! What the tasks of all batches share.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use tokio_util::sync::CancellationToken;

use super::places::Places;
use crate::batches::Batches;
use crate::db::Db;
use crate::gateway::Gateway;
use crate::keys::Keys;
use crate::pool::Pool;

/// The parts of the gateway that the runner uses.
pub struct Work {
    /// The files and batches.
    pub batches: Batches,
    /// The gateway that lines call.
    pub gateway: Gateway,
    /// The database of the ledger.
    pub db: Db,
    /// The virtual keys that lines call with.
    pub keys: Arc<Keys>,
    /// Threads that read lines.
    pub pool: Arc<Pool>,
    /// The longest line, in bytes.
    pub longest_line: usize,
}

/// What the tasks of all batches share.
pub(super) struct Shared {
    pub(super) work: Work,
    /// A place for each line that may run at once.
    pub(super) places: Places,
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
