//! When a call must have come how far.

use tokio::time::Instant;

use super::failure::Phase;
use super::provider::Timeouts;

/// When a call must have ended, and whose limit that is.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// The limit of the head, and whose that is.
    pub(super) head: (Instant, Phase),
    pub(super) first: Instant,
    pub(super) deadline: Instant,
    pub(super) phase: Phase,
}

impl Limits {
    pub(super) fn of(timeouts: &Timeouts, now: Instant, is_stream: bool, (deadline, phase): (Instant, Phase)) -> Self {
        let first = now + timeouts.first_token;
        let head = match timeouts.headers {
            // A stream has its head before its first token.
            Some(headers) if !is_stream || headers < timeouts.first_token => (now + headers, Phase::Headers),
            _ => (first, Phase::FirstToken),
        };
        Self { head, first: first.max(head.0), deadline, phase }
    }

    /// The limit of an answer's head.
    pub(super) fn head(self) -> (Instant, Phase) {
        if self.head.0 < self.deadline { self.head } else { (self.deadline, self.phase) }
    }
}
