//! A provider's stream on its way into the caller's dialect: passed as it is where the two agree, else translated.

use bytes::Bytes;

use crate::chat::{
    self, CallIds, Code, Error, MadeBy, Marking, ProofPlaces, ToolNames, Undo, Units, Unwrapping, Usage,
};
use crate::wire::dialect::{AnswerContext, BadAnswer, Chunk, ReadStream, Tap, WriteStream};
use crate::wire::sse::{Decoder, Event};
use crate::wire::stream_error::broke_off;
use crate::wire::{DialectId, ProviderDialect, token_estimate, written};

/// A stream on its way into the caller's dialect.
pub enum Feed {
    /// Both sides speak the same; with how many choices the request asks for.
    Same(Box<dyn Tap>, u64),
    /// They do not.
    Translated(Box<Translation>),
}

/// A stream that is translated.
pub struct Translation {
    reader: Box<dyn ReadStream>,
    writer: Box<dyn WriteStream>,
    unwrapping: Option<Unwrapping>,
    ids: CallIds,
    names: ToolNames,
    marking: Option<Marking>,
    meant: Vec<chat::Event>,
    usage: Option<Usage>,
    has_mark: bool,
    input_tokens: u64,
    bytes: usize,
    finished: bool,
    /// Whether a choice ended otherwise than an answer should that is stored.
    ended_badly: bool,
}

/// What became of one event.
pub enum Fed {
    /// These bytes go down; none where they are empty.
    Pass(Bytes),
    /// The stream ended as it should. These bytes go down last.
    Done(Bytes),
    /// The provider reports an error.
    Failed(Box<Error>),
    /// This is no event of the dialect.
    Broken(String),
}

impl Feed {
    /// A feed from a provider's dialect into the caller's, that takes back what `undo` says.
    pub fn new(
        (from, into): (ProviderDialect, DialectId),
        (by, places): (MadeBy, ProofPlaces),
        undo: Undo,
        (keep_usage, context): (bool, &AnswerContext),
    ) -> Self {
        if from == into.into() && undo.is_empty() {
            return Self::Same(into.codec().tap(keep_usage), context.choices);
        }
        let context = AnswerContext { include_usage: keep_usage, ..context.clone() };
        Self::Translated(Box::new(Translation {
            reader: from.codec().stream_reader(),
            writer: into.codec().stream_writer(&context),
            unwrapping: undo.answer_tool.map(Unwrapping::new),
            ids: CallIds::of(&context.id),
            names: undo.names,
            marking: (from != into.into()).then(|| Marking::new(by, places)),
            meant: Vec::new(),
            usage: None,
            has_mark: matches!(from, ProviderDialect::Client(id) if !id.codec().tap(true).end_mark().is_empty()),
            input_tokens: context.input_tokens,
            bytes: 0,
            finished: false,
            ended_badly: false,
        }))
    }

    /// Takes one event of the provider's; `dialect` is the caller's.
    pub fn take(&mut self, event: &Event, dialect: DialectId) -> Fed {
        match self {
            Self::Same(tap, _) => match tap.observe(event) {
                Chunk::Pass(bytes) => Fed::Pass(bytes),
                Chunk::Drop => Fed::Pass(Bytes::new()),
                Chunk::Done(bytes) => Fed::Done(bytes),
                Chunk::Failed(_) => Fed::Failed(Box::new(error_in(event, dialect.into()))),
                Chunk::Broken => Fed::Broken("a chunk is no JSON object".to_owned()),
            },
            Self::Translated(translation) => translation.take(event),
        }
    }

    /// Notes that the bytes ended: the last bytes where that is a good end.
    pub fn end(&mut self) -> Option<Fed> {
        match self {
            Self::Same(tap, choices) => {
                let has_ended = tap.may_end_here() || (!tap.end_mark().is_empty() && tap.ended_choices() >= *choices);
                has_ended.then(|| Fed::Done(Bytes::from_static(tap.end_mark())))
            }
            Self::Translated(translation) => {
                translation.reader.end(&mut translation.meant);
                translation.meant.last()?;
                Some(translation.write())
            }
        }
    }

    /// Whether what comes now may be the last, so that it waits for the call to be settled.
    pub fn holds_back(&self) -> bool {
        matches!(self, Self::Same(tap, _) if tap.may_end_here())
    }

    /// The event that ends the stream after a failure, as it follows what was sent.
    pub fn error_event(&mut self, into: DialectId, error: &Error) -> Bytes {
        match self {
            Self::Same(tap, _) => tap.error_event(error).unwrap_or_else(|| into.codec().error_event(error)),
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
            Self::Same(tap, _) => tap.usage(),
            Self::Translated(translation) => translation.reported(),
        }
    }

    /// Whether streams of the provider's dialect end with a mark, so that one without it is not stored.
    pub fn has_mark(&self) -> bool {
        match self {
            Self::Same(tap, _) => !tap.end_mark().is_empty(),
            Self::Translated(translation) => translation.has_mark,
        }
    }

    /// What else the stream has reported that it is charged by.
    pub fn units(&self) -> Units {
        match self {
            Self::Same(tap, _) => tap.units(),
            Self::Translated(_) => Units::default(),
        }
    }

    /// How many tokens the stream has brought so far, roughly.
    pub fn estimated_output(&self) -> u64 {
        match self {
            Self::Same(tap, _) => tap.estimated_output(),
            Self::Translated(translation) => token_estimate::of_bytes(translation.bytes),
        }
    }

    /// Whether the answer itself ended as one that may be stored. Where both sides speak the same, the answer put together
    /// says why it ended.
    pub fn ended_well(&self) -> bool {
        match self {
            // Only where streams end with a mark does a tap count choices.
            Self::Same(tap, choices) => {
                tap.finished() && (tap.end_mark().is_empty() || tap.ended_choices() >= *choices)
            }
            Self::Translated(translation) => translation.finished && !translation.ended_badly,
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

    /// The usage that was reported. A beginning is no count, since what came since may be more.
    fn reported(&self) -> Option<Usage> {
        self.usage.map(|reported| match reported.estimated {
            true => self.estimated(),
            false => reported,
        })
    }

    /// The usage by estimate: of what was reported where something was, and of what came.
    fn estimated(&self) -> Usage {
        let output = token_estimate::of_bytes(self.bytes);
        let begun = self.usage.unwrap_or_default();
        let input = if begun.input == 0 { self.input_tokens } else { begun.input };
        Usage { input, output: begun.output.max(output), estimated: true, ..begun }
    }

    /// Writes the events that were read in the caller's dialect.
    fn write(&mut self) -> Fed {
        let mut out = Vec::new();
        let mut meant = std::mem::take(&mut self.meant);
        self.bytes += meant.iter().map(written::of_event).sum::<usize>();
        for event in &mut meant {
            self.ids.settle_event(event);
            self.names.restore_event(event);
        }
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
                chat::Event::Failed(error) => return Fed::Failed(Box::new(error.clone())),
                chat::Event::End => {
                    if let Some(BadAnswer(reason)) = self.writer.fault() {
                        return Fed::Broken(reason);
                    }
                    // The caller reads the estimate that the row has.
                    let usage = self.reported().unwrap_or_else(|| self.estimated());
                    if self.usage.replace(usage) != Some(usage) {
                        self.writer.write(chat::Event::Usage(usage), &mut out);
                    }
                    self.writer.write(event, &mut out);
                    return Fed::Done(out.into());
                }
                chat::Event::Usage(usage) => self.usage = Some(*usage),
                chat::Event::Finish { stop, .. } => {
                    self.finished = true;
                    self.ended_badly |= !stop.is_good();
                }
                _ => {}
            }
            self.writer.write(event, &mut out);
        }
        self.writer.flush(&mut out);
        Fed::Pass(out.into())
    }
}

/// The error that an event of a provider's stream reports.
pub fn error_in(event: &Event, dialect: ProviderDialect) -> Error {
    let mut meant = Vec::new();
    let _read = dialect.codec().stream_reader().read(event, &mut meant);
    let reported = meant.into_iter().find_map(|event| match event {
        chat::Event::Failed(error) => Some(error),
        _ => None,
    });
    let said = || message_of(&event.data().unwrap_or_else(|| event.raw().clone()));
    reported.unwrap_or_else(|| Error::new(Code::UpstreamError, said()))
}

/// What an error event of any dialect says.
pub fn message_of(data: &[u8]) -> String {
    let fields: serde_json::Value = serde_json::from_slice(data).unwrap_or_default();
    let places = ["/error/message", "/response/error/message", "/choices/0/error/message", "/message", "/error"];
    if let Some(message) = places.iter().find_map(|place| fields.pointer(place)?.as_str()) {
        return message.to_owned();
    }
    let reasons = ["/choices/0/finish_reason", "/candidates/0/finishReason"];
    match reasons.iter().find_map(|place| fields.pointer(place)?.as_str()) {
        Some(reason) => broke_off(reason).message,
        None => "it sent an error".to_owned(),
    }
}

/// The events in bytes of a dialect.
pub fn events_of(bytes: Bytes) -> Vec<Event> {
    let mut decoder = Decoder::default();
    decoder.push(bytes);
    std::iter::from_fn(|| decoder.event().ok().flatten()).collect()
}
