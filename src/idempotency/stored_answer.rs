//! An answer that is stored, to be sent again.

use std::sync::Arc;

use bytes::Bytes;

use crate::types::RequestId;

/// The largest answer that is stored, in bytes.
pub const LARGEST: usize = 4 << 20;

/// The first answer to a call with an idempotency key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredAnswer {
    /// The request that was answered.
    pub request: RequestId,
    /// `provider/model`.
    pub model: Option<Arc<str>>,
    /// Whether it was made up by a simulated provider.
    pub simulated: bool,
    /// The `content-type`, where the body is neither JSON nor events.
    pub kind: Option<Arc<str>>,
    /// Whether the body is a stream's events.
    pub is_stream: bool,
    /// The body.
    pub body: Bytes,
}
