//! One call, as its key is remembered.

use crate::types::{RequestId, Timestamp};

/// A key's name: the hash of who asked, of what, and of the key itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name(pub(super) [u8; 32]);

/// One call, as its key is remembered.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub(super) name: Name,
    pub(super) fingerprint: [u8; 32],
    pub(super) request: RequestId,
    pub(super) at: Timestamp,
}

impl Asked {
    /// The call `request` at `at`: `scope` is whose key it is and what was called, `request_parts` all that its answer
    /// depends on.
    #[must_use]
    pub fn new(request: RequestId, at: Timestamp, scope: &[&[u8]], request_parts: &[&[u8]]) -> Self {
        Self { name: Name(hash(scope)), fingerprint: hash(request_parts), request, at }
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}
