//! When a key was last used, noted by calls without a lock or a database.

use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Serialize, Serializer};

use crate::types::Timestamp;

/// Uses closer together than this are one, in microseconds: a busy key writes its memory once a second, not once a call.
const GRAIN: i64 = 1_000_000;

/// The last use of one key, and what the database knows of it; 0 is none.
#[derive(Debug, Default)]
pub(super) struct LastUse {
    used: AtomicI64,
    saved: AtomicI64,
}

impl LastUse {
    /// As the database knows it.
    pub(super) fn stored(at: Option<Timestamp>) -> Self {
        let at = at.map_or(0, |at| at.0);
        Self { used: AtomicI64::new(at), saved: AtomicI64::new(at) }
    }

    /// Notes a use.
    pub(super) fn note(&self, now: Timestamp) {
        if now.0.saturating_sub(self.used.load(Ordering::Relaxed)) >= GRAIN {
            self.used.store(now.0, Ordering::Relaxed);
        }
    }

    /// When the key was last used.
    pub(super) fn at(&self) -> Option<Timestamp> {
        let used = self.used.load(Ordering::Relaxed);
        (used > 0).then_some(Timestamp(used))
    }

    /// The last use, where the database does not know it.
    pub(super) fn unsaved(&self) -> Option<Timestamp> {
        self.at().filter(|at| at.0 > self.saved.load(Ordering::Relaxed))
    }

    /// Notes that the database knows a use: written by this process, or by another.
    pub(super) fn saved(&self, at: Timestamp) {
        self.saved.fetch_max(at.0, Ordering::Relaxed);
        self.used.fetch_max(at.0, Ordering::Relaxed);
    }
}

impl Serialize for LastUse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.at().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_noted_once_a_second_and_never_goes_back() {
        let last = LastUse::default();
        assert_eq!((last.at(), last.unsaved()), (None, None));
        last.note(Timestamp(5_000_000));
        last.note(Timestamp(5_999_999));
        last.note(Timestamp(4_000_000));
        assert_eq!(last.unsaved(), Some(Timestamp(5_000_000)));
        last.saved(Timestamp(5_000_000));
        assert_eq!((last.at(), last.unsaved()), (Some(Timestamp(5_000_000)), None));
        last.saved(Timestamp(7_000_000));
        assert_eq!((last.at(), last.unsaved()), (Some(Timestamp(7_000_000)), None), "another process knew better");
    }
}
