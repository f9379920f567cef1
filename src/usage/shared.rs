//! What the gateway's side of the ledger and the writer's share.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::journal::slots::Journal;
use super::lock::{DatabaseFile, Lock};

/// The state of an open ledger.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) journal: Journal,
    /// Whether an answer waits for the commit, because its row must survive a power loss.
    pub(super) durable: bool,
    /// The most settlements that wait.
    pub(super) queue: usize,
    /// Those that the writer has not taken, or that will be handed to it at the end of a tick.
    pub(super) waiting: AtomicUsize,
    /// When the writer took the first settlement that is not committed yet, in microseconds; 0 where all are.
    pub(super) behind: AtomicI64,
    /// Whether the last batch could be written.
    pub(super) writable: AtomicBool,
    pub(super) closing: AtomicBool,
    /// The database's file, and whether another or none lies in its slot.
    pub(super) file: DatabaseFile,
    /// Whether someone waits for a commit, so that the writer must not wait for more.
    pub(super) urgent: AtomicBool,
    /// Notified when something is urgent, or when enough waits.
    pub(super) hurry: Notify,
    /// Held as long as the ledger is open.
    pub(super) lock: Mutex<Option<Lock>>,
}

impl Shared {
    /// Has the writer commit what is there.
    pub(super) fn hurry(&self) {
        self.urgent.store(true, Ordering::Release);
        self.hurry.notify_one();
    }
}
