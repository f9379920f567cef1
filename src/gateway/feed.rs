//! A provider's stream on its way into the caller's dialect: passed as it is where the two agree, else translated.

use bytes::Bytes;

use crate::chat::{self, AnswerTool, Error, Marking, Units, Unwrapping, Usage};
use crate::wire::dialect::{AnswerContext, BadAnswer, Chunk, ReadStream, Tap, WriteStream};
use crate::wire::sse::{Decoder, Event};
use crate::wire::{DialectId, ProviderDialect};

/// A stream on its way into the caller's dialect.
pub enum Feed {
    /// Both sides speak the same.
    Same(Box<dyn Tap>),
    /// They do not.
    Translated(Box<Translation>),
}

/// A stream that is translated.
pub struct Translation {
    reader: Box<dyn ReadStream>,
    writer: Box<dyn WriteStream>,
    unwrapping: Option<Unwrapping>,
    marking: Option<Marking>,
    meant: Vec<chat::Event>,
    usage: Option<Usage>,
    deltas: u64,
    bytes: usize,
    finished: bool,
}

/// What became of one event.
pub enum Fed {
    /// These bytes go down; none where they are empty.
    Pass(Bytes),
    /// The stream ended as it should. These bytes go down last.
    Done(Bytes),
    /// The provider reports an error, in its own words.
    Failed(String),
    /// This is no event of the dialect.
    Broken(String),
}

impl Feed {
    /// A feed from a provider's dialect into the caller's, of an answer by `tool` where there is one.
    pub fn new(
        (from, into): (ProviderDialect, DialectId),
        tool: Option<AnswerTool>,
        keep_usage: bool,
        context: &AnswerContext,
    ) -> Self {
        if from == into.into() && tool.is_none() {
            return Self::Same(into.codec().tap(keep_usage));
        }
        let context = AnswerContext { include_usage: keep_usage, ..context.clone() };
        Self::Translated(Box::new(Translation {
            reader: from.codec().stream_reader(),
            writer: into.codec().stream_writer(&context),
            unwrapping: tool.map(Unwrapping::new),
            marking: (from != into.into()).then(|| Marking::new(from.codec().maker())),
            meant: Vec::new(),
            usage: None,
            deltas: 0,
            bytes: 0,
            finished: false,
        }))
    }

    /// Takes one event of the provider's.
    pub fn take(&mut self, event: &Event) -> Fed {
        match self {
            Self::Same(tap) => match tap.observe(event) {
                Chunk::Pass(bytes) => Fed::Pass(bytes),
                Chunk::Drop => Fed::Pass(Bytes::new()),
                Chunk::Done(bytes) => Fed::Done(bytes),
                Chunk::Failed(data) => Fed::Failed(message_of(&data)),
                Chunk::Broken => Fed::Broken("a chunk is no JSON object".to_owned()),
            },
            Self::Translated(translation) => translation.take(event),
        }
    }

    /// Notes that the bytes ended: the last bytes where that is a good end.
    pub fn end(&mut self) -> Option<Fed> {
        match self {
            Self::Same(tap) => tap.may_end_here().then(|| Fed::Done(Bytes::new())),
            Self::Translated(translation) => {
                translation.reader.end(&mut translation.meant);
                translation.meant.last()?;
                Some(translation.write())
            }
        }
    }

    /// Whether what comes now may be the last, so that it waits for the call to be settled.
    pub fn holds_back(&self) -> bool {
        matches!(self, Self::Same(tap) if tap.may_end_here())
    }

    /// The event that ends the stream after a failure, as it follows what was sent.
    pub fn error_event(&mut self, into: DialectId, error: &Error) -> Bytes {
        match self {
            Self::Same(tap) => tap.error_event(error).unwrap_or_else(|| into.codec().error_event(error)),
            Self::Translated(translation) => {
                let mut out = Vec::new();
                translation.writer.write(chat::Event::Failed(error.clone()), &mut out);
                out.into()
            }
        }
    }

    /// The usage that the stream has reported.
    pub fn usage(&self) -> Option<Usage> {
        match self {
            Self::Same(tap) => tap.usage(),
            // A beginning is no count: what came since may be more.
            Self::Translated(translation) => translation.usage.map(|reported| match reported.estimated {
                true => Usage { output: reported.output.max(self.estimated_output()), ..reported },
                false => reported,
            }),
        }
    }

    /// What else the stream has reported that it is charged by.
    pub fn units(&self) -> Units {
        match self {
            Self::Same(tap) => tap.units(),
            Self::Translated(_) => Units::default(),
        }
    }

    /// How many tokens the stream has brought so far, roughly.
    pub fn estimated_output(&self) -> u64 {
        match self {
            Self::Same(tap) => tap.estimated_output(),
            Self::Translated(translation) => {
                let by_bytes = u64::try_from(translation.bytes.div_ceil(4)).unwrap_or(0);
                by_bytes.max(translation.deltas)
            }
        }
    }

    /// Whether the answer itself ended.
    pub fn finished(&self) -> bool {
        match self {
            Self::Same(tap) => tap.finished(),
            Self::Translated(translation) => translation.finished,
        }
    }
}

impl Translation {
    fn take(&mut self, event: &Event) -> Fed {
        match self.reader.read(event, &mut self.meant) {
            Ok(()) => self.write(),
            Err(BadAnswer(reason)) => Fed::Broken(reason),
        }
    }

    /// Writes the events that were read in the caller's dialect.
    fn write(&mut self) -> Fed {
        let mut out = Vec::new();
        let mut meant = std::mem::take(&mut self.meant);
        if let Some(unwrapping) = &mut self.unwrapping {
            let events = std::mem::take(&mut meant);
            events.into_iter().for_each(|event| unwrapping.take(event, &mut meant));
        }
        if let Some(marking) = &mut self.marking {
            let events = std::mem::take(&mut meant);
            events.into_iter().for_each(|event| marking.take(event, &mut meant));
        }
        for event in meant {
            match &event {
                chat::Event::Failed(Error { message, .. }) => return Fed::Failed(message.clone()),
                chat::Event::End => {
                    self.writer.write(event, &mut out);
                    return Fed::Done(out.into());
                }
                chat::Event::Usage(usage) => self.usage = Some(*usage),
                chat::Event::Finish { .. } => self.finished = true,
                chat::Event::Delta { delta: chat::Delta::Text(text) | chat::Delta::Arguments(text), .. } => {
                    self.deltas += 1;
                    self.bytes += text.len();
                }
                _ => {}
            }
            self.writer.write(event, &mut out);
        }
        Fed::Pass(out.into())
    }
}

/// What an error event of any dialect says.
pub fn message_of(data: &[u8]) -> String {
    let fields: serde_json::Value = serde_json::from_slice(data).unwrap_or_default();
    let places = ["/error/message", "/response/error/message", "/message", "/error"];
    let message = places.iter().find_map(|place| fields.pointer(place)?.as_str());
    message.unwrap_or("it sent an error").to_owned()
}

/// The events in bytes of a dialect.
pub fn events_of(bytes: Bytes) -> Vec<Event> {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    std::iter::from_fn(|| decoder.event().ok().flatten()).collect()
}
