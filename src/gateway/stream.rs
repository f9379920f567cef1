//! A stream on its way from a provider to a caller: observed, metered, and settled before its last bytes go down.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, stream};
use tokio::time::{Instant, timeout_at};

use super::answer::{BEHIND, drain, failure_of};
use super::counted::Counted;
use super::feed::{Fed, Feed, events_of};
use super::meter::Meter;
use super::open_attempt::Ended;
use super::peek::MOST_HELD;
use super::pulse::Pulse;
use super::reserve::Attempt;
use super::state::Parts;
use crate::cache::Spent;
use crate::chat::{Error, Usage, Used};
use crate::routing::Target;
use crate::upstream::{Answer, Failure};
use crate::usage::Status;
use crate::wire::DialectId;
use crate::wire::decoder::Decoder;
use crate::wire::dialect::AnswerContext;
use crate::wire::sse::Event;

/// The most bytes of a stream that are stored to be cached.
const MOST_KEPT: usize = 4 << 20;

/// A stream under way.
pub struct Relay {
    parts: Arc<Parts>,
    target: Arc<Target>,
    answer: Option<Box<Answer>>,
    first: std::vec::IntoIter<Event>,
    decoder: Decoder,
    feed: Feed,
    counted: Counted,
    passing: Option<Used>,
    dialect: DialectId,
    context: AnswerContext,
    held: BytesMut,
    attempt: Attempt,
    meter: Meter,
    ready: VecDeque<Bytes>,
    kept: Option<Vec<Event>>,
    kept_bytes: usize,
    is_over: bool,
    ended_well: bool,
    spent: Spent,
    /// The error that ended it, which each follower writes in its own way; none has its event here.
    failed: Option<Error>,
    is_shared: bool,
}

/// What a relay begins with.
pub struct Begun {
    /// Who answers.
    pub target: Arc<Target>,
    /// The attempt that brings the answer.
    pub attempt: Attempt,
    /// The rest of the answer.
    pub answer: Box<Answer>,
    /// The bytes of the answer that were read.
    pub decoder: Decoder,
    /// Its first events.
    pub first: Vec<Event>,
    /// Brings the events into the caller's dialect.
    pub feed: Feed,
    /// Whether the events are recorded, for the cache.
    pub keep_events: bool,
    /// The caller's.
    pub into: DialectId,
    /// What a request that only passes is known to use whatever comes.
    pub passing: Option<Used>,
    /// What the caller's dialect needs to know of the call.
    pub context: AnswerContext,
}

impl Relay {
    /// Begins to relay.
    pub fn new(parts: Arc<Parts>, begun: Begun, meter: Meter) -> Self {
        Self {
            parts,
            target: begun.target,
            answer: Some(begun.answer),
            first: begun.first.into_iter(),
            decoder: begun.decoder,
            feed: begun.feed,
            counted: Counted::default(),
            passing: begun.passing,
            dialect: begun.into,
            held: BytesMut::new(),
            attempt: begun.attempt,
            meter,
            ready: VecDeque::new(),
            kept: begun.keep_events.then(Vec::new),
            kept_bytes: 0,
            context: begun.context,
            is_over: false,
            ended_well: false,
            spent: Spent::default(),
            failed: None,
            is_shared: false,
        }
    }

    /// Keeps the error that it may end in from its bytes, for [`Relay::failed`].
    pub fn shared(self) -> Self {
        Self { is_shared: true, ..self }
    }

    /// The error that a shared relay ended in.
    pub fn failed(&mut self) -> Option<Error> {
        self.failed.take()
    }

    /// What it took, once it ended well.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// The relay as a stream of bytes. Dropping it closes the provider's connection and settles what came.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Infallible>> + Send {
        // In a box, since each step takes it and gives it back.
        stream::unfold(Box::new(self), |mut relay| async move { relay.next().await.map(|bytes| (Ok(bytes), relay)) })
    }

    /// The next bytes to send; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.take_ready() {
                return Some(bytes);
            }
            if self.is_over {
                return None;
            }
            if let Err(failure) = self.advance().await {
                self.break_off(failure).await;
            }
        }
    }

    /// The events of a stream that ended well, where they were recorded.
    pub fn events(&mut self) -> Option<Vec<Event>> {
        self.kept.take().filter(|_| self.ended_well)
    }

    /// All that is ready, in one piece: what came together goes together.
    fn take_ready(&mut self) -> Option<Bytes> {
        let first = self.ready.pop_front()?;
        if self.ready.is_empty() {
            return Some(first);
        }
        let mut all = BytesMut::from(&first[..]);
        self.ready.drain(..).for_each(|bytes| all.extend_from_slice(&bytes));
        Some(all.freeze())
    }

    /// Reads on until something is ready or the stream is over.
    async fn advance(&mut self) -> Result<(), Failure> {
        let mut pulse = Pulse::default();
        while let Some(event) = self.event()? {
            pulse.note(&event);
            match self.take(&event) {
                None => {}
                Some(Ending::Failed(failure)) => return Err(failure),
                Some(Ending::Done(last)) => {
                    self.settle_well(last).await;
                    return Ok(());
                }
            }
        }
        if let Some(answer) = self.answer.as_mut().filter(|_| pulse.only_kept_alive()) {
            answer.kept_alive();
        }
        if !self.ready.is_empty() {
            return Ok(());
        }
        let Some(answer) = &mut self.answer else { return Err(torn()) };
        let closing = self.parts.closing.cancelled();
        let piece = tokio::select! {
            biased;
            piece = answer.piece() => piece?,
            () = closing => return Err(Failure::Closing),
        };
        match piece {
            Some(piece) => self.decoder.push(piece),
            None => return self.end().await,
        }
        Ok(())
    }

    /// The bytes ended, and the stream with them, well or not.
    async fn end(&mut self) -> Result<(), Failure> {
        let mut ending = None;
        while ending.is_none()
            && let Some(event) = self.answer.as_mut().and_then(|answer| answer.last_event(&mut self.decoder))
        {
            ending = self.take(&event);
        }
        match ending {
            Some(Ending::Failed(failure)) => return Err(failure),
            Some(Ending::Done(last)) => self.settle_well(last).await,
            None => match self.feed.end() {
                Some(Fed::Done(last)) => {
                    if self.is_translated() {
                        self.keep(&last);
                    }
                    self.settle_well(last).await;
                    // The caller has all of it; what may lack something is not stored.
                    self.ended_well &= !self.feed.has_mark();
                }
                _ => return Err(torn()),
            },
        }
        Ok(())
    }

    fn event(&mut self) -> Result<Option<Event>, Failure> {
        match self.first.next() {
            Some(first) => Ok(Some(first)),
            None => {
                let event = match &mut self.answer {
                    Some(answer) => answer.event(&mut self.decoder),
                    None => self.decoder.event(),
                };
                event.map_err(|error| Failure::Protocol(error.to_string()))
            }
        }
    }

    /// Takes one event in; returns the end where that is one.
    fn take(&mut self, event: &Event) -> Option<Ending> {
        let bytes = match self.feed.take(event, self.dialect) {
            Fed::Pass(bytes) => bytes,
            Fed::Done(bytes) => {
                if self.is_translated() {
                    self.keep(&bytes);
                } else {
                    self.keep_event(event);
                }
                return Some(Ending::Done(bytes));
            }
            // Its words are scrubbed where the stream breaks off.
            Fed::Failed(error) => return Some(Ending::Failed(failure_of(*error))),
            Fed::Broken(reason) => return Some(Ending::Failed(Failure::Protocol(reason))),
        };
        match &self.feed {
            Feed::Same(..) => self.keep_event(event),
            Feed::Translated(_) => self.keep(&bytes),
        }
        let written = self.feed.estimated_output();
        match self.feed.usage() {
            None => self.attempt.estimate_output(written),
            Some(reported) => self.attempt.count(self.counted.charge(reported, written)),
        }
        if self.feed.holds_back() {
            self.held.extend_from_slice(&bytes);
        } else if !bytes.is_empty() {
            self.ready.push_back(bytes);
        }
        None
    }

    fn is_translated(&self) -> bool {
        matches!(self.feed, Feed::Translated(_))
    }

    /// Keeps what was written in the caller's dialect.
    fn keep(&mut self, bytes: &Bytes) {
        if self.kept.is_some() && !bytes.is_empty() {
            events_of(bytes.clone()).iter().for_each(|event| self.keep_event(event));
        }
    }

    fn keep_event(&mut self, event: &Event) {
        self.kept_bytes += event.raw().len();
        if self.kept_bytes > MOST_KEPT {
            self.kept = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.push(event.clone());
        }
    }

    async fn settle_well(&mut self, last: Bytes) {
        self.is_over = true;
        let used = self.used();
        self.meter.came_whole(&self.target);
        self.attempt.end(Ended::well(used));
        self.spent = Spent { usage: used.usage, cost: self.meter.cost() };
        if self.meter.keeps_answer()
            && let Some(whole) = self.kept.as_deref().and_then(|events| self.whole(events))
        {
            self.meter.keep_answer(&whole);
        }
        match self.meter.finish(Status::Ok, 200, None).await {
            Ok(()) => {
                self.ended_well = self.feed.ended_well();
                let held = std::mem::take(&mut self.held).freeze();
                self.ready.extend([held, last].into_iter().filter(|bytes| !bytes.is_empty()));
            }
            Err(error) => self.tell(error),
        }
        self.release();
    }

    /// What a stream that ended well used.
    fn used(&self) -> Used {
        let (input, output) = (self.context.input_tokens, self.feed.estimated_output());
        let estimated = || Usage { input, output, estimated: true, ..Usage::default() };
        match &self.passing {
            None => self.feed.usage().unwrap_or_else(estimated).into(),
            Some(known) => Used {
                usage: self.feed.usage().or_else(|| known.usage.map(|_| estimated())),
                units: self.feed.units().or(known.units),
            },
        }
    }

    /// The answer as it is stored with its row: a whole one, or the events as they are where they are not put together.
    fn whole(&self, events: &[Event]) -> Option<Bytes> {
        if self.passing.is_some() {
            return Some(events.iter().flat_map(|event| event.raw().iter().copied()).collect());
        }
        self.dialect.codec().as_whole(events, &self.context).ok()
    }

    /// Releases the connection: at once if the answer's end is there, else in the background.
    fn release(&mut self) {
        let Some(mut answer) = self.answer.take() else { return };
        if !matches!(answer.piece().now_or_never(), Some(Ok(None) | Err(_))) {
            self.parts.tasks.spawn(drain(answer));
        }
    }

    /// Ends a stream that failed after it began: no retry, its row, and an error event in the caller's dialect.
    async fn break_off(&mut self, failure: Failure) {
        self.is_over = true;
        if matches!(failure, Failure::Server { status: 200, .. } | Failure::Refused { status: 200, .. })
            && self.feed.usage().is_none_or(|usage| usage.estimated)
        {
            self.read_counts().await;
        }
        while let Some(event) = self.answer.as_mut().and_then(|answer| answer.waiting_event()) {
            if self.take(&event).is_some() {
                break;
            }
        }
        let failure = match self.answer.take() {
            Some(answer) => answer.redacted(failure),
            None => failure,
        };
        self.meter.showed(&self.target, &failure);
        self.attempt.broke(&failure);
        let code = failure.code();
        let estimate = self.attempt.estimate();
        let written = self.feed.estimated_output();
        let reported = self.feed.usage().map(|usage| self.counted.charge(usage, written));
        let reported = reported.map(|usage| Used { usage: Some(usage), units: self.feed.units() });
        let used = reported.or(estimate);
        self.attempt.end(Ended {
            status: Status::Error,
            http_status: Some(200),
            error: Some(code.text()),
            retryable: false,
            used,
        });
        let settled = self.meter.finish(Status::Error, 200, Some(code.text())).await;
        let error = settled.err().unwrap_or_else(|| failure.into_error(&self.target.id));
        self.tell(error);
    }

    /// Reads on behind the event by which the stream failed, for a moment: what its provider counted may follow.
    async fn read_counts(&mut self) {
        let until = Instant::now() + BEHIND;
        for _ in 0..MOST_HELD {
            match self.event() {
                Err(_) => return,
                Ok(Some(event)) => {
                    let _counted = self.feed.take(&event, self.dialect);
                    continue;
                }
                Ok(None) => {}
            }
            let Some(answer) = &mut self.answer else { return };
            match timeout_at(until, answer.piece()).await {
                Ok(Ok(Some(piece))) => self.decoder.push(piece),
                _ => return,
            }
        }
    }

    /// Tells the error that ends the stream, behind what came in the same piece before it.
    fn tell(&mut self, error: Error) {
        if self.is_shared {
            self.failed = Some(error);
        } else {
            let last = self.feed.error_event(self.dialect, &error);
            self.ready.push_back(last);
        }
    }
}

enum Ending {
    Done(Bytes),
    Failed(Failure),
}

fn torn() -> Failure {
    Failure::Protocol("the stream ended without its last event".to_owned())
}
