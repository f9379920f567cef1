//! What comes of a stream before its content: held back for a moment, since a failure there can still be tried elsewhere.

use std::time::Duration;

use tokio::time::Instant;

use super::unanswered::Unanswered;
use crate::chat::{self, Code, Content, Delta, Error, Usage};
use crate::upstream::Failure;
use crate::wire::ProviderDialect;
use crate::wire::dialect::ReadStream;
use crate::wire::sse::Event;

/// How long a stream's events are held back for the first that has content. A model may think for minutes before that, and a
/// caller wants the head of its answer.
const HOLD: Duration = Duration::from_secs(3);

/// How many events are held back.
pub const MOST_HELD: usize = 64;

/// What an event shows of its stream.
pub enum Seen {
    /// Nothing yet: it announces an answer, or keeps the connection open.
    Silent,
    /// Content, or an end without any.
    Begun,
    /// The answer failed.
    Failed(Error),
}

/// Looks into the first events of a stream.
pub struct Peek {
    reader: Box<dyn ReadStream>,
    meant: Vec<chat::Event>,
    usage: Option<Usage>,
    is_finished: bool,
    /// Until when events are held back; `None` before the first.
    pub until: Option<Instant>,
}

impl Peek {
    /// Looks into a stream of this dialect.
    pub fn new(dialect: ProviderDialect) -> Self {
        let reader = dialect.codec().stream_reader();
        Self { reader, meant: Vec::new(), usage: None, is_finished: false, until: None }
    }

    /// Looks into the next event.
    pub fn look(&mut self, event: &Event) -> Seen {
        self.until.get_or_insert_with(|| Instant::now() + HOLD);
        // What is no event of the dialect is for the feed to judge.
        let is_odd = self.reader.read(event, &mut self.meant).is_err();
        let mut seen = if is_odd { Seen::Begun } else { Seen::Silent };
        for event in self.meant.drain(..) {
            match event {
                chat::Event::Failed(error) => return Seen::Failed(error),
                chat::Event::Usage(usage) => self.usage = Some(usage),
                chat::Event::Finish { .. } => {
                    self.is_finished = true;
                    seen = Seen::Begun;
                }
                chat::Event::End if !self.is_finished => {
                    return Seen::Failed(Error::new(Code::UpstreamError, "its answer ended without any choice"));
                }
                event if has_content(&event) => seen = Seen::Begun,
                _ => {}
            }
        }
        seen
    }

    /// The attempt that failed so, with what its provider reported before.
    pub fn unanswered(&self, failure: Failure) -> Unanswered {
        Unanswered { failure, reported: self.usage.map(Into::into) }
    }
}

fn has_content(event: &chat::Event) -> bool {
    match event {
        chat::Event::Open { content, .. } => {
            !matches!(content, Content::Text { .. } | Content::Refusal(_) | Content::Thinking(_))
        }
        chat::Event::Delta { delta: Delta::Text(text) | Delta::Arguments(text), .. } => !text.is_empty(),
        chat::Event::Delta { .. } | chat::Event::End => true,
        _ => false,
    }
}
