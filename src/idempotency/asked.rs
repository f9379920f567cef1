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
    /// A number made of the project's name.
    pub(super) owner: i64,
}

impl Asked {
    /// The call `request` at `at`, of a project: `scope` is whose key it is and what was called, `request_parts` all that its
    /// answer depends on.
    #[must_use]
    pub fn new((request, at): (RequestId, Timestamp), project: &str, scope: &[&[u8]], request_parts: &[&[u8]]) -> Self {
        let owner = hash(&[project.as_bytes()]).first_chunk().map_or(0, |first| i64::from_le_bytes(*first));
        Self { name: Name(hash(scope)), fingerprint: hash(request_parts), request, at, owner }
    }
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for part in parts {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}
