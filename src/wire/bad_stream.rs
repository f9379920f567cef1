//! Bytes of a stream that are no events.

use super::sse::TooLong;

/// A frame that is none: its checksum is wrong, or it says what no frame says.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of its event stream is broken: {0}")]
pub struct BadFrame(pub String);

/// Bytes that are no events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStream {
    /// An event is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// A frame is none.
    #[error(transparent)]
    Frame(#[from] BadFrame),
}
