//! How the ledger is: what waits, and how large its files are.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::journal::segment::left;
use super::ledger::Ledger;
use crate::types::{Timestamp, now};

/// The ledger at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerState {
    /// The settlements that wait for the writer.
    pub queue: usize,
    /// How long the oldest settlement that the writer has taken has waited for its commit.
    pub lag: Duration,
    /// Whether a call may go out.
    pub is_healthy: bool,
    /// The size of the database's file, in bytes.
    pub database: u64,
    /// The size of its write-ahead log.
    pub wal: u64,
    /// The size of the journal.
    pub journal: u64,
}

impl Ledger {
    /// The ledger now. Looks at files, so it is not for calls.
    #[must_use]
    pub fn state(&self) -> LedgerState {
        let path = self.shared.file.path();
        let lag = match self.shared.behind.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => now() - Timestamp(since),
        };
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        LedgerState {
            queue: self.shared.waiting.load(Ordering::Relaxed),
            lag,
            is_healthy: self.healthy(),
            database: size(path),
            wal: size(Path::new(&wal)),
            journal: left(path).unwrap_or_default().iter().map(|segment| size(segment)).sum(),
        }
    }
}

/// The size of a file; 0 where there is none.
fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |data| data.len())
}
