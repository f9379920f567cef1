//! What cuts a stream's bytes into events, whichever way its API frames them.

use bytes::Bytes;

use super::bad_stream::BadStream;
use super::frames;
use super::sse::{self, Event};

/// Cuts bytes into events.
#[derive(Debug)]
pub enum Decoder {
    /// Server-sent events.
    Sse(sse::Decoder),
    /// Amazon's binary frames, each converted to the server-sent event that means the same.
    Frames(frames::Decoder),
}

impl Default for Decoder {
    fn default() -> Self {
        Self::Sse(sse::Decoder::default())
    }
}

impl Decoder {
    /// Takes the next piece.
    pub fn push(&mut self, piece: Bytes) {
        match self {
            Self::Sse(decoder) => decoder.push(piece),
            Self::Frames(decoder) => decoder.push(&piece),
        }
    }

    /// The next whole event, if there is one.
    ///
    /// # Errors
    /// Where an event is longer than [`sse::MAX_EVENT`], or its frame is broken.
    pub fn event(&mut self) -> Result<Option<Event>, BadStream> {
        Ok(match self {
            Self::Sse(decoder) => decoder.event()?,
            Self::Frames(decoder) => decoder.event()?,
        })
    }

    /// Whether bytes are there that are no whole event.
    #[must_use]
    pub fn has_rest(&self) -> bool {
        match self {
            Self::Sse(decoder) => decoder.has_rest(),
            Self::Frames(_) => true,
        }
    }

    /// The last event, where the bytes ended without the blank line after it; a frame that is not whole is no event.
    #[must_use]
    pub fn rest(&mut self) -> Option<Event> {
        match self {
            Self::Sse(decoder) => decoder.rest(),
            Self::Frames(_) => None,
        }
    }
}
