//! A whole file that no caller sees yet.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// A whole file, which callers see when its batch ends. Until then this value protects the file from the purge of half-written
/// files.
pub struct Closed {
    /// The file's id.
    pub id: Arc<str>,
    /// The file's size, in bytes.
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
