//! What comes of a stream before its content: held back for a moment, since a failure there can still be tried elsewhere.

use std::time::Duration;

use tokio::time::Instant;

use super::counted::Counted;
use super::unanswered::Unanswered;
use crate::chat::{self, Code, Content, Delta, Error, Usage};
use crate::upstream::Failure;
use crate::wire::ProviderDialect;
use crate::wire::dialect::{BadAnswer, ReadStream};
use crate::wire::sse::Event;

/// How long a stream's events are held back once its model thinks: it may do so for minutes, and a caller wants the head of its
/// answer. Before that, a stream that is silent for as long as its first token may take has failed.
const HOLD: Duration = Duration::from_secs(3);

/// How many events are held back.
pub const MOST_HELD: usize = 64;

/// How many bytes of events are held back.
pub const MOST_BYTES: usize = 256 << 10;

/// What an event shows of its stream.
pub enum Seen {
    /// Nothing yet: it announces an answer, or keeps the connection open.
    Silent,
    /// Content, or an end without any.
    Begun,
    /// The answer failed.
    Failed(Error),
    /// It is no event of the dialect.
    Broken(String),
}

/// Looks into the first events of a stream.
pub struct Peek {
    reader: Box<dyn ReadStream>,
    /// Whether the stream passes as it is, so that its tap judges events which the reader does not know.
    is_same: bool,
    meant: Vec<chat::Event>,
    usage: Option<Usage>,
    counted: Counted,
    is_finished: bool,
    /// Until when events are held back; `None` before the model thinks.
    pub until: Option<Instant>,
    /// The characters of the content so far.
    pub chars: usize,
}

impl Peek {
    /// Looks into a stream of this dialect, which passes as it is or is translated.
    pub fn new(dialect: ProviderDialect, is_same: bool) -> Self {
        let reader = dialect.codec().stream_reader();
        let (usage, counted) = (None, Counted::default());
        Self { reader, is_same, meant: Vec::new(), usage, counted, is_finished: false, until: None, chars: 0 }
    }

    /// Looks into the next event.
    pub fn look(&mut self, event: &Event) -> Seen {
        let mut seen = match self.reader.read(event, &mut self.meant) {
            Ok(()) => Seen::Silent,
            Err(_) if self.is_same && is_json(event) => Seen::Begun,
            Err(BadAnswer(reason)) => return Seen::Broken(reason),
        };
        for event in self.meant.drain(..) {
            match event {
                // Its counts stand before it.
                chat::Event::Failed(error) => return Seen::Failed(error),
                chat::Event::Usage(usage) => self.usage = Some(usage),
                chat::Event::Finish { .. } => {
                    self.is_finished = true;
                    seen = Seen::Begun;
                }
                chat::Event::End if !self.is_finished => {
                    return Seen::Failed(Error::new(Code::UpstreamError, "its answer ended without any choice"));
                }
                chat::Event::Open { content: Content::Thinking(_), .. } => {
                    self.until.get_or_insert_with(|| Instant::now() + HOLD);
                }
                event if has_content(&event) => {
                    self.chars += chars(&event);
                    seen = Seen::Begun;
                }
                _ => {}
            }
        }
        seen
    }

    /// Whether the answer has come to its end.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// Whether the provider has counted the answer, rather than its beginning.
    pub fn is_counted(&self) -> bool {
        self.usage.is_some_and(|usage| !usage.estimated)
    }

    /// What the stream would be charged if it broke off now, where its provider has counted anything.
    pub fn charge(&mut self) -> Option<Usage> {
        let written = u64::try_from(self.chars.div_ceil(4)).unwrap_or(u64::MAX);
        self.usage.map(|usage| self.counted.charge(usage, written))
    }

    /// The attempt that failed so, with what its provider reported before.
    pub fn unanswered(&self, failure: Failure) -> Unanswered {
        Unanswered { failure, reported: self.usage.map(Into::into), is_part: true }
    }
}

fn chars(event: &chat::Event) -> usize {
    match event {
        chat::Event::Delta { delta: Delta::Text(text) | Delta::Arguments(text), .. } => text.chars().count(),
        _ => 0,
    }
}

fn is_json(event: &Event) -> bool {
    event.data().is_some_and(|data| serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_ok())
}

/// Whether an event is content of an answer, or the end of one.
pub fn has_content(event: &chat::Event) -> bool {
    match event {
        chat::Event::Open { content, .. } => {
            !matches!(content, Content::Text { .. } | Content::Refusal(_) | Content::Thinking(_))
        }
        chat::Event::Delta { delta: Delta::Text(text) | Delta::Arguments(text), .. } => !text.is_empty(),
        chat::Event::Delta { .. } | chat::Event::End => true,
        _ => false,
    }
}
