//! Answers that say nothing: no cache stores them, and they say nothing of how fast their target is.

use bytes::Bytes;

use crate::chat::Usage;
use crate::wire::{DialectId, written};

/// Most bytes of a whole answer without words.
const MOST: usize = 64 << 10;

/// Whether a whole answer in the caller's dialect says nothing. One that its provider counts words of is not read for that.
pub fn is_empty(body: &Bytes, usage: Option<Usage>, dialect: DialectId) -> bool {
    body.len() <= MOST
        && usage.is_none_or(|usage| usage.output <= 1)
        && dialect.codec().read_response(body).is_ok_and(|answer| written::is_empty(&answer))
}
