//! Whether a stream goes on, or only keeps its connection open.

use crate::wire::sse::Event;

/// What the events of one piece show.
#[derive(Debug, Default)]
pub struct Pulse {
    kept_alive: bool,
    is_alive: bool,
}

impl Pulse {
    /// Notes an event.
    pub fn note(&mut self, event: &Event) {
        let is_beat = is_beat(event);
        self.kept_alive |= is_beat;
        self.is_alive |= !is_beat;
    }

    /// Whether there were events, and none of them belongs to the answer.
    pub fn only_kept_alive(&self) -> bool {
        self.kept_alive && !self.is_alive
    }
}

/// Whether an event is a comment, or Anthropic's `ping`.
fn is_beat(event: &Event) -> bool {
    let raw = event.raw();
    raw.starts_with(b"event: ping") || (raw.starts_with(b":") && event.data().is_none())
}

#[cfg(test)]
mod tests {
    use super::super::feed::events_of;
    use super::*;

    fn only_kept_alive(bytes: &'static str) -> bool {
        let mut pulse = Pulse::default();
        events_of(bytes.into()).iter().for_each(|event| pulse.note(event));
        pulse.only_kept_alive()
    }

    #[test]
    fn comments_and_pings_alone_are_no_part_of_an_answer() {
        assert!(only_kept_alive(": OPENROUTER PROCESSING\n\n"));
        assert!(only_kept_alive("event: ping\ndata: {\"type\": \"ping\"}\n\n: more\n\n"));
        assert!(!only_kept_alive(": more\n\ndata: {}\n\n") && !only_kept_alive(": more\ndata: {}\n\n"));
        assert!(!only_kept_alive("data: half of an event"));
    }
}
