//! The beginning of a stream, of which nothing went down yet: a failure there can still be tried elsewhere.

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::answer::{Answered, BEHIND, failure_of, scrubbed};
use super::feed::error_in;
use super::pace::{self, Pace};
use super::peek::{MOST_BYTES, MOST_HELD, Peek, Seen};
use super::rendering::Rendering;
use super::reserve::Attempt;
use super::unanswered::Unanswered;
use super::upstream_request::UpstreamRequest;
use crate::chat::{Code, Error, Undo};
use crate::upstream::{Answer, Failure, Phase};
use crate::wire::ProviderDialect;
use crate::wire::decoder::Decoder;
use crate::wire::sse::Event;

/// A stream of which nothing went down yet.
pub struct Beginning<'a> {
    answer: Answer,
    attempt: &'a Attempt,
    dialect: ProviderDialect,
    undo: &'a Undo,
    /// Whether its events only pass.
    passes: bool,
    decoder: Decoder,
    peek: Peek,
    events: Vec<Event>,
    bytes: usize,
    /// Whether one of the events has content.
    has_begun: bool,
    /// How fast the stream must be, where it is given up otherwise.
    pace: Option<Pace>,
    /// Until when its speed is not known.
    until: Option<Instant>,
}

impl<'a> Beginning<'a> {
    /// The beginning of a stream that answers `request`; with a pace, all of it is held back until its speed is known.
    ///
    /// # Errors
    /// Where no stream was asked for.
    pub fn new(
        mut answer: Answer,
        request: &Rendering,
        upstream_request: &'a UpstreamRequest,
        (attempt, pace): (&'a Attempt, Option<Pace>),
    ) -> Result<Self, Failure> {
        if !request.asked.stream {
            return Err(Failure::Protocol("it is a stream, which was not asked for".to_owned()));
        }
        let UpstreamRequest { dialect, undo, .. } = upstream_request;
        let (dialect, passes) = (*dialect, request.passes());
        let is_same = dialect == request.endpoint.dialect().into() && undo.is_empty();
        if !passes {
            answer.await_token();
        }
        Ok(Self {
            answer,
            attempt,
            dialect,
            undo,
            passes,
            decoder: dialect.codec().decoder(),
            peek: Peek::new(dialect, is_same),
            events: Vec::new(),
            bytes: 0,
            has_begun: false,
            pace: pace.filter(|_| !passes),
            until: None,
        })
    }

    /// Reads the stream as far as it must be known before nothing can be retried any more.
    ///
    /// # Errors
    /// Where it fails before that.
    pub async fn read(mut self) -> Result<Answered, Unanswered> {
        loop {
            let until = self.until.or(self.peek.until);
            match next_event((&mut self.answer, &mut self.decoder), until, self.attempt).await {
                Ok(Next::Event(event)) => self.take(event).await?,
                Ok(Next::Late) if self.has_begun => {}
                Ok(Next::Late) => break,
                Ok(Next::End { .. }) if self.has_begun => break,
                Ok(Next::End { is_torn }) => return Err(self.ended(is_torn)),
                // Nothing went down yet: another try may do better.
                Err(failure) => return Err(self.peek.unanswered(failure)),
            }
            match self.is_known() {
                Ok(true) => break,
                Ok(false) => {}
                Err(slow) => return Err(self.peek.unanswered(slow)),
            }
        }
        self.answer.token_came();
        let Self { answer, dialect, undo, decoder, events, .. } = self;
        Ok(Answered::Stream { dialect, undo: undo.clone(), answer: Box::new(answer), decoder, first: events })
    }

    /// Takes one event in.
    async fn take(&mut self, event: Event) -> Result<(), Unanswered> {
        if let Some(error) = early_error(&event, self.dialect) {
            let _counted = self.peek.look(&event);
            return Err(self.failed(error).await);
        }
        let seen = if self.passes { begun(&event) } else { self.peek.look(&event) };
        self.bytes += event.raw().len();
        self.events.push(event);
        if let Some(usage) = self.peek.charge() {
            self.attempt.count(usage);
        }
        match seen {
            Seen::Silent => Ok(()),
            Seen::Begun => {
                self.has_begun = true;
                self.answer.token_came();
                Ok(())
            }
            Seen::Failed(error) => Err(self.failed(error).await),
            Seen::Broken(reason) => {
                let broken = self.peek.unanswered(Failure::Protocol(reason));
                Err(Unanswered { is_part: false, ..broken })
            }
        }
    }

    /// Whether no more of it is held back.
    ///
    /// # Errors
    /// Where it was too slow.
    fn is_known(&mut self) -> Result<bool, Failure> {
        let pace = self.pace.as_mut().filter(|_| self.has_begun);
        let most = if pace.is_some() { pace::MOST_EVENTS } else { MOST_HELD };
        if self.events.len() >= most || self.bytes >= MOST_BYTES || self.peek.is_finished() {
            return Ok(true);
        }
        let Some(pace) = pace else { return Ok(self.has_begun) };
        match pace.verdict(self.peek.chars, Instant::now()) {
            pace::Verdict::Fast => Ok(true),
            pace::Verdict::Open(until) => {
                self.until = Some(until);
                Ok(false)
            }
            pace::Verdict::Slow => {
                // About what it has written so far.
                self.attempt.estimate_output(u64::try_from(self.peek.chars.div_ceil(4)).unwrap_or(u64::MAX));
                Err(Failure::TimedOut(Phase::Speed))
            }
        }
    }

    /// The failure by an error in its events; what its provider counted may follow that.
    async fn failed(&mut self, error: Error) -> Unanswered {
        read_counts(&mut self.peek, (&mut self.answer, &mut self.decoder), &error, self.attempt).await;
        self.peek.unanswered(failure_of(scrubbed(error, &self.answer)))
    }

    /// The failure of a stream that ended before its content.
    fn ended(&self, is_torn: bool) -> Unanswered {
        if self.events.is_empty() {
            return Unanswered::nothing(Failure::Protocol("the stream ended before it began".to_owned()));
        }
        self.peek.unanswered(match is_torn {
            true => Failure::Protocol("the stream ended in the middle of an event".to_owned()),
            false => failure_of(Error::new(Code::UpstreamError, "its answer ended without any choice")),
        })
    }
}

/// What the first event of a stream that only passes shows.
fn begun(event: &Event) -> Seen {
    let data = event.data().unwrap_or_default();
    match data.trim_ascii() {
        [] | [b'{', .., b'}'] | b"[DONE]" => Seen::Begun,
        _ => Seen::Broken("an event is no JSON object".to_owned()),
    }
}

/// Reads on behind the event by which an answer failed, for a moment: what its provider counted may follow.
async fn read_counts(peek: &mut Peek, stream: (&mut Answer, &mut Decoder), error: &Error, attempt: &Attempt) {
    if error.code != Code::UpstreamError || peek.is_counted() {
        return;
    }
    let (answer, decoder) = stream;
    let until = Some(Instant::now() + BEHIND);
    for _ in 0..MOST_HELD {
        let Ok(Next::Event(event)) = next_event((answer, decoder), until, attempt).await else { return };
        let _counted = peek.look(&event);
    }
}

/// Reads a stream that has ended without content on, for a moment, so that its counts are among its first events.
pub async fn read_on((answer, decoder): (&mut Answer, &mut Decoder), first: &mut Vec<Event>, attempt: &Attempt) {
    let until = Some(Instant::now() + BEHIND);
    for _ in 0..MOST_HELD {
        let Ok(Next::Event(event)) = next_event((answer, decoder), until, attempt).await else { return };
        first.push(event);
    }
}

/// What comes next of a stream whose content has not begun.
enum Next {
    /// This event.
    Event(Event),
    /// Nothing, for as long as a caller may wait for the head.
    Late,
    /// The end; whether it cuts an event off.
    End { is_torn: bool },
}

async fn next_event(
    (answer, decoder): (&mut Answer, &mut Decoder),
    until: Option<Instant>,
    attempt: &Attempt,
) -> Result<Next, Failure> {
    loop {
        match answer.event(decoder).map_err(|error| Failure::Protocol(error.to_string()))? {
            Some(event) if event.data().is_some() => {
                attempt.answer_begins();
                return Ok(Next::Event(event));
            }
            Some(_comment) => continue,
            None => {}
        }
        let piece = match until {
            // The limits of the answer hold until its first event.
            None => answer.piece().await?,
            Some(until) => match timeout_at(until, answer.piece()).await {
                Ok(piece) => piece?,
                Err(_) => return Ok(Next::Late),
            },
        };
        let Some(piece) = piece else {
            let is_torn = decoder.has_rest();
            // The last event may lack its blank line.
            let left = std::iter::from_fn(|| answer.last_event(decoder)).find(|event| event.data().is_some());
            return Ok(left.map_or(Next::End { is_torn }, Next::Event));
        };
        decoder.push(piece);
    }
}

/// An error that stands before the content: nothing went down yet, so another try may do better.
fn early_error(event: &Event, dialect: ProviderDialect) -> Option<Error> {
    let data = event.data()?;
    memchr::memmem::find(&data, b"\"error\"")?;
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(&data).ok()?;
    let reported = fields.get("error").is_some_and(|error| !error.is_null());
    let named = fields.get("type").is_some_and(|kind| kind == "error");
    if !reported && !named {
        return None;
    }
    Some(error_in(event, dialect))
}
