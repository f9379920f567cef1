//! Calls that are made once: they came with an idempotency-key, and an equal request with that key gets their answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::incoming::Incoming;
use super::meter::Meter;
use super::planned::Planned;
use super::reply::{Body, Head, Reply, error_reply};
use crate::chat::Error;
use crate::idempotency::{self, Asked, Recording, StoredAnswer};
use crate::usage::Status;

/// The header that holds the key.
static HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key.
const LONGEST: usize = 255;

/// How a call with an idempotency-key gets its answer.
pub enum Claimed {
    /// By being made: it is the first with its key. Its answer is recorded.
    First(Recorder),
    /// From the first call.
    Again(StoredAnswer),
}

/// Whether a request has an idempotency-key.
pub fn has_key(incoming: &Incoming) -> bool {
    incoming.headers.contains_key(&HEADER)
}

/// Claims a call's key, or finds the answer of the call that had it first.
///
/// # Errors
/// Where the key is no key, belongs to another request, or to a call whose end is not known.
pub async fn claim(planned: &mut Planned, meter: &Meter) -> Result<Claimed, Error> {
    match planned.parts.idempotency.claim(asked(planned)?).await {
        Ok(idempotency::Claimed::First(claim)) => {
            let well = meter.watched();
            Ok(Claimed::First(Recorder { recording: Recording::of(claim), well, answer: StoredAnswer::default() }))
        }
        Ok(idempotency::Claimed::Again(answer)) => Ok(Claimed::Again(answer)),
        Err(error) => {
            planned.head.first = error.first();
            Err(error.into())
        }
    }
}

/// What the key stands for: whose it is, what was called, and the request.
fn asked(planned: &Planned) -> Result<Asked, Error> {
    let incoming = &planned.incoming;
    let key = incoming.headers.get(&HEADER).map_or(&[][..], HeaderValue::as_bytes);
    if key.is_empty() || key.len() > LONGEST || !key.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(Error::field(HEADER.as_str(), "an idempotency-key has 1 to 255 printable ASCII characters"));
    }
    let scope = [incoming.key.id.as_bytes(), incoming.endpoint.name().as_bytes(), key];
    let model = incoming.addressed.model.as_deref().unwrap_or_default();
    let mut request = vec![model.as_bytes(), if incoming.addressed.stream { &[1] } else { &[0] }];
    match &planned.request.first().form {
        // A form that is sent again has another boundary, but the same parts.
        Some(form) => request.extend(form.pieces()),
        None => request.push(&incoming.body),
    }
    Ok(Asked::new((incoming.id, incoming.started_at), &incoming.key.project, &scope, &request))
}

/// Replies with the answer of the first call: with a row of its own, and no attempt at it.
pub async fn again(mut planned: Box<Planned>, meter: Meter, stored: StoredAnswer) -> Reply {
    planned.head.first = Some(stored.request);
    planned.head.replayed = true;
    // A vector may have been asked for.
    (planned.head.attempts, planned.head.cost) = (meter.attempts(), meter.cost());
    if let Some((provider, model)) = stored.model.as_deref().and_then(|model| model.split_once('/')) {
        meter.note_answer_of(provider.into(), model.into());
    }
    planned.head.model = stored.model;
    planned.head.simulated = stored.simulated;
    planned.head.kind = stored.kind.and_then(|kind| HeaderValue::from_str(&kind).ok());
    meter.keep_answer(&stored.body);
    if let Err(error) = meter.finish(Status::Ok, 200, None).await {
        return error_reply(planned.head, &error);
    }
    let body = if stored.is_stream { Body::Events(stored.body) } else { Body::Whole(stored.body) };
    Reply { head: planned.head, body }
}

/// Records the answer of a call with an idempotency-key.
pub struct Recorder {
    recording: Recording,
    /// Whether the call ended well.
    well: Arc<AtomicBool>,
    /// The answer, but for its body.
    answer: StoredAnswer,
}

impl Recorder {
    /// Notes which model answers, and in what form.
    pub fn note(&mut self, head: &Head, is_stream: bool) {
        self.answer.model.clone_from(&head.model);
        self.answer.simulated = head.simulated;
        self.answer.kind = head.kind.as_ref().and_then(|kind| kind.to_str().ok().map(Arc::from));
        self.answer.is_stream = is_stream;
    }

    /// Records a piece of the body.
    pub fn take(&mut self, piece: &Bytes) {
        self.recording.take(piece);
    }

    /// Stores what was recorded, if the call ended well; else the key is free again.
    pub async fn finish(self) {
        if self.well.load(Ordering::Acquire) {
            self.recording.store(self.answer).await;
        }
    }

    /// Records a whole body.
    pub async fn whole(recorder: Option<Self>, body: &Bytes) {
        if let Some(mut recorder) = recorder {
            recorder.take(body);
            recorder.finish().await;
        }
    }
}
