//! Answers that are stored, to be sent again.

use std::sync::Arc;

use bytes::Bytes;

use crate::types::RequestId;

/// The largest answer that is kept.
pub const LARGEST: usize = 4 << 20;

/// An answer as it was given first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The request that it answered.
    pub request: RequestId,
    /// `provider/model`.
    pub model: Option<Arc<str>>,
    /// Its `content-type`, where it is neither JSON nor events.
    pub kind: Option<Arc<str>>,
    /// Whether the body is a stream's events.
    pub is_stream: bool,
    /// The body.
    pub body: Bytes,
}
