//! The body of an answer to a call with a key, as it is recorded while it goes down.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::BytesMut;

use super::claim::{Claim, Shared};
use super::stored_answer::{LARGEST, StoredAnswer};

/// All answers under way are recorded up to here together; where they are more, an answer beyond [`FAIR`] bytes is recorded no
/// further, and counts as one that is too large to be stored.
pub(super) const MOST_OF_ALL: usize = 128 << 20;
const FAIR: usize = 256 << 10;

/// What is recorded of an answer.
#[derive(Debug)]
pub struct Recording {
    claim: Claim,
    body: BytesMut,
    room: Room,
    is_too_large: bool,
}

/// The bytes that a recording takes of what all may take.
#[derive(Debug)]
struct Room {
    shared: Arc<Shared>,
    taken: usize,
}

impl Recording {
    /// Nothing yet of the answer to the call that `claim` is for.
    #[must_use]
    pub fn of(claim: Claim) -> Self {
        let room = Room { shared: claim.shared.clone(), taken: 0 };
        Self { claim, body: BytesMut::new(), room, is_too_large: false }
    }

    /// Records the next piece of the body.
    pub fn take(&mut self, piece: &[u8]) {
        if self.is_too_large {
            return;
        }
        let all = self.room.take(piece.len());
        if self.room.taken > LARGEST || (self.room.taken > FAIR && all > MOST_OF_ALL) {
            self.room.release();
            self.body = BytesMut::new();
            self.is_too_large = true;
        } else {
            self.body.extend_from_slice(piece);
        }
    }

    /// Stores the answer with the body that was recorded, before its end goes to the caller.
    pub async fn store(self, answer: StoredAnswer) {
        let Self { claim, body, room: _until_it_is_stored, is_too_large } = self;
        match is_too_large {
            true => claim.store_none().await,
            false => claim.store(StoredAnswer { body: body.freeze(), ..answer }).await,
        }
    }
}

impl Room {
    /// Takes room for more bytes; returns how many all take.
    fn take(&mut self, more: usize) -> usize {
        self.taken += more;
        self.shared.recorded.fetch_add(more, Ordering::AcqRel) + more
    }

    fn release(&mut self) {
        self.shared.recorded.fetch_sub(self.taken, Ordering::AcqRel);
        self.taken = 0;
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.release();
    }
}
