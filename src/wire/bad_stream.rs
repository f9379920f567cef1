//! Errors of a stream whose bytes cannot be read as events.

use super::sse::TooLong;

/// A frame that cannot be read: its checksum is wrong, or its headers are not those of an event or an error.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of its event stream is broken: {0}")]
pub struct BadFrame(pub String);

/// Why bytes cannot be read as events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadStream {
    /// An event is too long.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// A frame cannot be read.
    #[error(transparent)]
    Frame(#[from] BadFrame),
}
