//! An answer as it arrives: pieces of its body, each within its limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue};
use tokio::time::{Instant, timeout_at};

use super::client::Reply;
use super::connections;
use super::failure::{Failure, Phase, reason};
use super::in_flight::Place;
use super::in_process::CpuTime;
use super::redaction::{Answers, Redaction};
use super::seams::Seams;
use crate::wire::bad_stream::BadStream;
use crate::wire::decoder::Decoder;
use crate::wire::sse::Event;

/// The most bytes of a call's answer.
pub(super) const MAX_ANSWER: usize = 256 << 20;

/// The mark of text in UTF-8.
const MARK: &[u8] = "\u{feff}".as_bytes();

/// A 2xx answer whose body is still to be read. Dropping it closes the connection, which cancels the provider's work.
pub struct Answer {
    pub(super) body: Body,
    pub(super) idle: Duration,
    pub(super) first: Instant,
    pub(super) deadline: Instant,
    pub(super) phase: Phase,
    pub(super) read: usize,
    /// Since when the next piece is waited for, where that is not now.
    pub(super) since: Option<Instant>,
    /// Since when the last piece was waited for.
    pub(super) waited_since: Instant,
    /// Whether the limit of the first token still holds though bytes came: they may be no content.
    pub(super) awaits_token: bool,
    /// The most bytes of the body, where an endless one is cut.
    pub(super) longest: usize,
    pub(super) is_stream: bool,
    pub(super) kind: Option<HeaderValue>,
    /// Looks for the gateway's own keys in what arrives.
    pub(super) redaction: Option<Arc<Redaction>>,
    /// The end of what arrived, where it may be the beginning of a key.
    pub(super) held: Bytes,
    /// The events that may have a key in parts.
    pub(super) seams: Seams,
    /// Whether what arrived may have a key in it, or part of one.
    pub(super) is_suspect: bool,
    pub(super) has_ended: bool,
    pub(super) form: Form,
    /// How sure a model in this process is of its answer, where it says so.
    pub(super) confidence: Option<f64>,
    pub(super) _place: Place,
}

/// How keys are taken out of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Any place where a key stands gets another text.
    Text,
    /// Audio or another medium, whose length stays and of which nothing is held back.
    Medium,
    /// Frames with checksums, whose events are edited once they are read.
    Framed,
}

pub(super) enum Body {
    Http(connections::Body),
    /// Of a call that is on no caller's path.
    Side(Reply),
    /// The body of a model in this process, with the CPU time that the model takes.
    InProcess(BoxStream<'static, Result<Bytes, Failure>>, CpuTime),
}

impl Answer {
    /// Whether the answer's type is `text/event-stream`.
    #[must_use]
    pub fn is_stream(&self) -> bool {
        self.is_stream
    }

    /// Lets the limit of the first token hold until [`Self::token_came`], whatever comes before.
    pub fn await_token(&mut self) {
        self.awaits_token = true;
    }

    /// Notes that content came: from now on, pieces have the limit between two of them.
    pub fn token_came(&mut self) {
        self.awaits_token = false;
    }

    /// Notes that the last piece only kept the connection open: the limit between two pieces goes on from the one before it.
    pub fn kept_alive(&mut self) {
        self.since = Some(self.waited_since);
    }

    /// The answer's `content-type`.
    #[must_use]
    pub fn kind(&self) -> Option<&HeaderValue> {
        self.kind.as_ref()
    }

    /// The CPU time of the answer so far, where a model in this process answers.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        match &self.body {
            Body::InProcess(_, cpu) => Some(cpu.total()),
            Body::Http(_) | Body::Side(_) => None,
        }
    }

    /// How sure the model is of its answer, 0 to 1, where a model in this process says so. What other servers say counts for
    /// nothing.
    #[must_use]
    pub fn confidence(&self) -> Option<f64> {
        self.confidence
    }

    /// The provider's message of an error, without the gateway's keys and cut short.
    #[must_use]
    pub fn scrubbed(&self, message: &str) -> String {
        let message = message.to_owned();
        let clean = match &self.redaction {
            Some(redaction) => redaction.text(message),
            None => message,
        };
        clean.chars().take(500).collect()
    }

    /// `failure`, whose words may be the provider's, without the gateway's keys.
    #[must_use]
    pub fn redacted(&self, failure: Failure) -> Failure {
        failure.redacted(self.redaction.as_deref())
    }

    /// The next whole event of what arrived, without the gateway's own keys. One that ends in part of a key waits for the next.
    ///
    /// # Errors
    /// Where the bytes are no events.
    pub fn event(&mut self, decoder: &mut Decoder) -> Result<Option<Event>, BadStream> {
        let Some(keys) = self.redaction.as_deref().and_then(Redaction::answers) else { return decoder.event() };
        if let Some(event) = self.seams.pop() {
            return Ok(Some(event));
        }
        while let Some(event) = decoder.event()? {
            // A frame has a checksum, and was left as it arrived.
            let event = if self.form == Form::Framed { keys.event(event) } else { event };
            if let Some(event) = self.seams.push(event, keys) {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }

    /// The next of the events that are left once the bytes ended: those that waited, and one without the blank line after it.
    pub fn last_event(&mut self, decoder: &mut Decoder) -> Option<Event> {
        let Some(keys) = self.redaction.as_deref().and_then(Redaction::answers) else { return decoder.rest() };
        if let Some(event) = self.seams.pop() {
            return Some(event);
        }
        let event = decoder.rest().and_then(|event| self.seams.push(event, keys));
        if event.is_none() {
            self.seams.release();
        }
        event.or_else(|| self.seams.pop())
    }

    /// The next of the events that waited, once the answer broke off: what follows no more completes a key.
    pub fn waiting_event(&mut self) -> Option<Event> {
        self.seams.release();
        self.seams.pop()
    }

    /// Notes the type of the body, from the head.
    pub(super) fn note_head(&mut self, headers: &HeaderMap) {
        let kinds: [&[u8]; 2] = [b"text/event-stream", b"application/vnd.amazon.eventstream"];
        let clean = |kind: &&HeaderValue| !self.redaction.as_ref().is_some_and(|keys| keys.finds(kind.as_bytes()));
        self.kind = headers.get(CONTENT_TYPE).filter(clean).cloned();
        let media: [&[u8]; 4] = [b"audio/", b"image/", b"video/", b"application/octet-stream"];
        let is_one_of = |known: &[&[u8]]| {
            self.kind.as_ref().is_some_and(|kind| known.iter().any(|known| kind.as_bytes().starts_with(known)))
        };
        self.form = match () {
            () if is_one_of(&media) => Form::Medium,
            () if is_one_of(&kinds[1..]) => Form::Framed,
            () => Form::Text,
        };
        let is_any_of = |kind: &HeaderValue| kinds.iter().any(|known| kind.as_bytes().starts_with(known));
        self.is_stream = self.kind.as_ref().is_some_and(is_any_of);
    }

    /// The next piece, without the gateway's own keys; `None` at a clean end.
    ///
    /// # Errors
    /// Where a limit passes, the connection breaks, or the answer is endless.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Failure> {
        while !self.has_ended {
            let arrived = self.unmarked().await;
            // Borrowed: a reference count would be written by every thread.
            let arrived = arrived.map_err(|failure| failure.redacted(self.redaction.as_deref()))?;
            let keys = self.redaction.as_deref().and_then(Redaction::answers).filter(|_| self.form != Form::Framed);
            let Some(keys) = keys else { return Ok(arrived) };
            match arrived {
                Some(piece) => {
                    let piece = keys.piece(&mut self.held, piece, self.form == Form::Medium, &mut self.is_suspect);
                    // What is held comes with the next.
                    if !piece.is_empty() || self.held.is_empty() {
                        return Ok(Some(piece));
                    }
                }
                None => {
                    self.has_ended = true;
                    let held = std::mem::take(&mut self.held);
                    return Ok((!held.is_empty()).then_some(held));
                }
            }
        }
        Ok(None)
    }

    /// The next piece as it arrives, without a mark in front of a text.
    async fn unmarked(&mut self) -> Result<Option<Bytes>, Failure> {
        let is_first = self.read == 0;
        let piece = self.arriving().await?;
        if is_first && self.is_text() { self.without_mark(piece).await } else { Ok(piece) }
    }

    /// Whether the body is JSON or events, as far as its type says.
    fn is_text(&self) -> bool {
        let kind = self.kind.as_ref().map_or(&b"application/json"[..], HeaderValue::as_bytes);
        self.is_stream || kind.starts_with(b"application/json")
    }

    /// The first piece without the mark that some put in front of text in UTF-8, which may come byte by byte.
    async fn without_mark(&mut self, first: Option<Bytes>) -> Result<Option<Bytes>, Failure> {
        let Some(mut first) = first else { return Ok(None) };
        while first.len() < MARK.len() && MARK.starts_with(&first) {
            let Some(next) = self.arriving().await? else { break };
            first = [first, next].concat().into();
        }
        match first.strip_prefix(MARK) {
            Some([]) => self.arriving().await,
            Some(_) => Ok(Some(first.slice(MARK.len()..))),
            None => Ok(Some(first)),
        }
    }

    /// The next piece as it arrives.
    async fn arriving(&mut self) -> Result<Option<Bytes>, Failure> {
        self.waited_since = self.since.take().unwrap_or_else(Instant::now);
        let (limit, phase) = match self.read {
            0 => (self.first, Phase::FirstToken),
            _ => {
                let idle = self.waited_since + self.idle;
                let is_sooner = self.awaits_token && self.first < idle;
                if is_sooner { (self.first, Phase::FirstToken) } else { (idle, Phase::Idle) }
            }
        };
        let (limit, phase) = if limit < self.deadline { (limit, phase) } else { (self.deadline, self.phase) };
        let next = async {
            match &mut self.body {
                Body::Http(body) => body.data().await.map_err(|error| Failure::Protocol(reason(&*error))),
                Body::Side(answer) => answer.data().await,
                Body::InProcess(pieces, _) => pieces.next().await.transpose(),
            }
        };
        let Ok(piece) = timeout_at(limit, next).await else {
            if let (Body::Http(body), Phase::FirstToken | Phase::Idle) = (&self.body, phase) {
                body.suspect();
            }
            return Err(Failure::TimedOut(phase));
        };
        let piece = piece?;
        self.read += piece.as_ref().map_or(0, Bytes::len);
        if self.read > self.longest {
            return Err(Failure::Protocol(format!("it is longer than {} bytes", self.longest)));
        }
        Ok(piece)
    }

    /// The whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Answer::piece`], and where the body is longer than `limit`.
    pub async fn whole(&mut self, limit: usize) -> Result<Bytes, Failure> {
        let first = self.piece().await?;
        self.rest(first, limit, &mut |_| Ok(())).await
    }

    /// The whole body, at most `limit` bytes, whose first piece was taken. What it is to hold is reported before it does.
    ///
    /// # Errors
    /// As [`Answer::whole`], and what `reach` refuses.
    pub async fn rest(
        &mut self,
        first: Option<Bytes>,
        limit: usize,
        reach: &mut (dyn FnMut(usize) -> Result<(), Failure> + Send),
    ) -> Result<Bytes, Failure> {
        let Some(first) = first else { return Ok(Bytes::new()) };
        reach(first.len())?;
        let Some(second) = self.piece().await? else { return Ok(self.redacted_whole(first, self.is_suspect)) };
        let mut all = BytesMut::from(&first[..]);
        let mut next = Some(second);
        while let Some(piece) = next {
            if all.len() + piece.len() > limit {
                return Err(Failure::Protocol(format!("it is longer than {limit} bytes")));
            }
            reach(all.len() + piece.len())?;
            all.extend_from_slice(&piece);
            next = self.piece().await?;
        }
        let all = all.freeze();
        let is_suspect = self.answers().is_some_and(|keys| keys.suspects(&all));
        Ok(self.redacted_whole(all, is_suspect))
    }

    /// A whole body without the gateway's own keys: those that its strings have in parts, and all where its type says that it
    /// comes in frames.
    fn redacted_whole(&self, body: Bytes, is_suspect: bool) -> Bytes {
        match (self.answers(), self.form) {
            (Some(keys), Form::Framed) => Seams::whole(keys.without(body), keys),
            (Some(keys), Form::Text) if is_suspect => Seams::whole(body, keys),
            _ => body,
        }
    }

    fn answers(&self) -> Option<&Answers> {
        self.redaction.as_deref().and_then(Redaction::answers)
    }
}
