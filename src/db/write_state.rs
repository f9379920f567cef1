//! Whether SQLite's file could be written the last time.

use std::sync::atomic::{AtomicBool, Ordering};

use super::error::refuses_writes;

/// What the last change says of the disk. Copies of a [`Sqlite`](super::Sqlite) share one.
#[derive(Debug, Default)]
pub(super) struct WriteState {
    failing: AtomicBool,
}

impl WriteState {
    /// Whether the last change could be written.
    pub(super) fn is_writable(&self) -> bool {
        !self.failing.load(Ordering::Relaxed)
    }

    /// Notes that a change was committed.
    pub(super) fn committed(&self) {
        if !self.is_writable() && self.failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the database takes changes again");
        }
    }

    /// Notes why a change failed: what speaks of the file or its disk counts, and is logged once.
    pub(super) fn failed(&self, error: &sqlx::Error) {
        if refuses_writes(error) && !self.failing.swap(true, Ordering::Relaxed) {
            tracing::error!(%error, "the database takes no changes: {error}; they are refused until it does");
        }
    }
}
