//! A file that is all written and not yet seen, and what protects it from a purge.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A file that is all written, and is seen when its batch ends. Until then this protects it from a purge of half-written files.
pub struct Closed {
    /// Its id.
    pub id: Arc<str>,
    /// Its size.
    pub bytes: u64,
    _open: Open,
}

impl Closed {
    pub(super) fn of(id: Arc<str>, bytes: u64, open: Open) -> Self {
        Self { id, bytes, _open: open }
    }
}

/// The file counts as being written for as long as this lives.
pub(super) struct Open {
    pub(super) files: Arc<Mutex<HashSet<String>>>,
    pub(super) id: String,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}
