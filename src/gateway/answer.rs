//! An answer of a provider, read as far as it must be known before nothing can be retried any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::bodies::{Bodies, Room, RoomBound};
use super::incoming::Incoming;
use super::rendering::Rendering;
use super::reply::Repair;
use super::reserve::Attempt;
use super::unanswered::Unanswered;
use super::upstream_request::UpstreamRequest;
use crate::chat::{CallIds, Code, Emulated, Error, MadeBy, Stop, Undo, Usage, Used};
use crate::routing::{Shown, Target, mean_logprob};
use crate::upstream::{Answer, Failure, ProviderClient};
use crate::wire::decoder::Decoder;
use crate::wire::dialect::{BadAnswer, ClientCodec, Observed};
use crate::wire::endpoint::Task;
use crate::wire::passing::{Medium, Passing};
use crate::wire::sse::Event;
use crate::wire::{DialectId, ProviderDialect, exact_numbers, written};

/// How long counts are waited for behind the event by which a stream failed.
pub const BEHIND: Duration = Duration::from_millis(500);

/// The longest whole answer.
pub const MAX_WHOLE: usize = 64 << 20;

/// Answers up to here need no room: what carries them takes as much by itself.
pub const SMALL_ANSWER: usize = 64 << 10;

/// A target that began to answer.
pub struct Served {
    /// The attempt that brought the answer: it ends with the answer.
    pub attempt: Attempt,
    /// Who.
    pub target: Arc<Target>,
    /// The request as it was rendered for that target.
    pub rendering: Arc<Rendering>,
    /// How.
    pub answer: Answered,
    /// What had to be emulated for it.
    pub emulated: Emulated,
    /// What became of an answer that was not of the form asked for.
    pub repair: Option<Repair>,
}

/// An answer, as far as it is known when nothing can be retried any more.
pub enum Answered {
    /// All of it.
    Whole {
        /// The body.
        body: Bytes,
        /// What it used.
        used: Used,
        /// Whether it ended well, so that it may be stored.
        ended_well: bool,
        /// Its `content-type`, where it is not JSON.
        kind: Option<HeaderValue>,
        /// What it shows of itself beside the body.
        shown: Shown,
    },
    /// Bytes that only pass, such as audio, of which the first are there.
    Bytes {
        /// Their `content-type`.
        kind: HeaderValue,
        /// The rest of them.
        answer: Box<Answer>,
        /// The first.
        first: Bytes,
    },
    /// A stream whose first event is there.
    Stream {
        /// The dialect it comes in.
        dialect: ProviderDialect,
        /// What of its request is to be taken back in it.
        undo: Undo,
        /// The rest of it.
        answer: Box<Answer>,
        /// What was read so far, with the first event taken out.
        decoder: Decoder,
        /// The first events, up to the first that has content.
        first: Vec<Event>,
    },
}

/// Reads an answer that is no stream of events, as far as it must be known before nothing can be retried any more.
pub async fn read(
    mut answer: Answer,
    (request, incoming): (&Rendering, &Incoming),
    upstream_request: &UpstreamRequest,
    (client, attempt): (&ProviderClient, &Attempt),
    room: &mut AnswerRoom<'_>,
) -> Result<Answered, Unanswered> {
    if let Some(passing) = request.endpoint.passing() {
        return Box::pin(read_passing(passing, request, answer, (client, attempt), room)).await;
    }
    let whole = whole(&mut answer, attempt, room).await?;
    let mut shown = Shown { confidence: answer.confidence(), mean_logprob: None };
    let observed = observe(whole.clone(), (request, incoming), upstream_request, client, &mut shown);
    // Few answers did not end well, so only they are read once more.
    if !observed.as_ref().is_ok_and(|(_, observed)| observed.ended_well)
        && let Some(failed) = failed((&answer, upstream_request.dialect), &whole, observed.as_ref().err())
    {
        return Err(failed);
    }
    let (body, observed) = observed?;
    let used = used(request, &body, observed.usage).into();
    Ok(Answered::Whole { body: room.hold(body), used, ended_well: observed.ended_well, kind: None, shown })
}

/// The caller's part of an answer with embeddings, which a provider gave in a dialect.
pub fn of_vectors(
    request: &Rendering,
    body: Bytes,
    from: ProviderDialect,
    room: &mut AnswerRoom<'_>,
) -> Result<Answered, Box<Unanswered>> {
    let (body, usage) = request.vectors(body, from).map_err(Unanswered::from)?;
    room.reach(body.len()).map_err(Unanswered::from)?;
    let used = used(request, &body, usage).into();
    Ok(Answered::Whole { body: room.hold(body), used, ended_well: true, kind: None, shown: Shown::default() })
}

/// The usage of a whole answer: the one that its provider reports, and an estimate where it reports none.
fn used(request: &Rendering, body: &Bytes, reported: Option<Usage>) -> Usage {
    let estimate = || Usage {
        input: request.input_tokens(),
        output: written_in(body, request.endpoint.dialect()),
        estimated: true,
        ..Usage::default()
    };
    reported.unwrap_or_else(estimate)
}

/// The whole body; its first byte is noted.
async fn whole(answer: &mut Answer, attempt: &Attempt, room: &mut AnswerRoom<'_>) -> Result<Bytes, Failure> {
    let first = answer.piece().await?;
    if first.is_some() {
        attempt.answer_begins();
    }
    answer.rest(first, MAX_WHOLE, &mut |bytes| room.reach(bytes)).await
}

/// The room that one whole answer takes while it is read, and until its caller has it.
pub struct AnswerRoom<'a> {
    bodies: &'a Arc<Bodies>,
    bound: RoomBound,
    key: &'a Arc<str>,
    /// None for an answer that is small.
    taken: Option<Room>,
}

impl<'a> AnswerRoom<'a> {
    /// Room for an answer to a call of `key`.
    pub fn new(bodies: &'a Arc<Bodies>, bound: RoomBound, key: &'a Arc<str>) -> Self {
        Self { bodies, bound, key, taken: None }
    }

    fn reach(&mut self, bytes: usize) -> Result<(), Failure> {
        if bytes <= SMALL_ANSWER {
            return Ok(());
        }
        let room = self.taken.get_or_insert_with(|| self.bodies.room(self.bound, self.key));
        room.reach(bytes).map_err(|error| Failure::NoRoom(Box::new(error)))
    }

    /// The answer that goes down, which has the room from now on.
    fn hold(&mut self, body: Bytes) -> Bytes {
        match self.taken.take() {
            Some(room) => room.hold(body),
            None => body,
        }
    }
}

/// Why a whole answer with the status 200 failed all the same, where it did; `bad` says what is wrong with one that is none.
fn failed((answer, dialect): (&Answer, ProviderDialect), body: &[u8], bad: Option<&BadAnswer>) -> Option<Unanswered> {
    let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let reported = dialect.codec().usage(&value).map(Used::from);
    let failure = match dialect.codec().failure(&value).or_else(|| bad.and_then(|_| bare_error(&value))) {
        // Its status was 200, so the error has none of its own but that of a refusal.
        Some(error) => {
            let status = error.status.filter(|status| (400..500).contains(status));
            failure_of(scrubbed(Error { status, upstream_code: None, ..error }, answer))
        }
        None => Failure::Protocol(bad?.0.clone()),
    };
    Some(Unanswered { failure, reported, is_part: false })
}

/// The error that stands alone in a body which is no answer, as many servers write it.
fn bare_error(body: &Value) -> Option<Error> {
    let place = ["detail", "message"].into_iter().find(|name| !body[name].is_null())?;
    let message = match &body[place] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    Some(Error::new(Code::UpstreamError, message))
}

/// How many tokens a model wrote in a whole answer, roughly.
pub fn written_in(body: &Bytes, dialect: DialectId) -> u64 {
    match dialect.codec().read_response(body) {
        Ok(response) => written::tokens_of(&response),
        Err(_) => serde_json::from_slice(body).map_or(0, |answer| written::tokens_in(&answer)),
    }
}

/// The failure of an attempt whose provider reports `error` in an answer with the status 200.
pub fn failure_of(error: Error) -> Failure {
    match error.code {
        Code::UpstreamRateLimited => {
            Failure::Throttled { retry_after: error.retry_after, message: error.message, another_key: false }
        }
        Code::UpstreamAuth => Failure::Auth { status: 200, another_key: false },
        // What means a refusal is one, as it would be by its status.
        Code::InvalidRequest => {
            let error = Error { upstream_code: None, param: None, ..error };
            Failure::Refused { status: 200, error: Box::new(error) }
        }
        Code::RequestTooLarge | Code::ContextLengthExceeded | Code::ContentFilter => {
            Failure::Refused { status: 200, error: Box::new(error) }
        }
        _ => Failure::Server { status: 200, error: Box::new(error) },
    }
}

/// An error of an answer, without the keys of the gateway.
pub fn scrubbed(error: Error, answer: &Answer) -> Error {
    Error { message: answer.scrubbed(&error.message), ..error }
}

/// A whole answer in the caller's dialect, and what was observed of it.
fn observe(
    body: Bytes,
    (request, incoming): (&Rendering, &Incoming),
    upstream_request: &UpstreamRequest,
    client: &ProviderClient,
    shown: &mut Shown,
) -> Result<(Bytes, Observed), BadAnswer> {
    let UpstreamRequest { dialect, undo, .. } = upstream_request;
    let dialect = *dialect;
    match request.endpoint.task() {
        Task::Embed { .. } => {
            let (body, usage) = request.vectors(body, dialect)?;
            return Ok((body, Observed { usage, ended_well: true }));
        }
        Task::Count(counting) if !(counting.is_answer)(&body) => {
            return Err(BadAnswer("it counts no tokens".to_owned()));
        }
        Task::Count(_) => {
            let none = Observed { usage: Some(Usage::default()), ended_well: true };
            return Ok((body, none));
        }
        Task::Converse | Task::Pass(_) => {}
    }
    let own = request.endpoint.dialect();
    let counted = |usage: Option<Usage>| usage.map(|usage| request.usage_of(client, &body, usage));
    if dialect == own.into() && undo.is_empty() {
        let observed = own.codec().observe(&body)?;
        let observed = Observed { usage: counted(observed.usage), ..observed };
        let body = if undo.logprobs { without_logprobs(own.codec(), body, shown)? } else { body };
        return Ok((body, observed));
    }
    let mut response = dialect.codec().read_response(&body)?;
    if undo.logprobs {
        shown.mean_logprob = mean_logprob(&response);
        response.choices.iter_mut().for_each(|choice| choice.logprobs = None);
    }
    let written = written::tokens_of(&response);
    CallIds::of(incoming.id.text().as_str()).settle(&mut response);
    undo.names.restore(&mut response);
    if let Some(tool) = &undo.answer_tool {
        response = tool.unwrap(response);
    }
    if dialect != own.into() {
        let by = MadeBy { maker: dialect.codec().maker(), provider: client.provider().name.clone() };
        by.mark_answer(request.proof_places(), &mut response);
    }
    let ended_well = !response.choices.is_empty()
        && response.choices.iter().all(|choice| choice.stop.as_ref().is_some_and(Stop::is_good));
    own.codec().can_express(&response)?;
    let estimate = || Usage { input: request.input_tokens(), output: written, estimated: true, ..Usage::default() };
    let usage = counted(response.usage).unwrap_or_else(estimate);
    // The caller reads the estimate that the row has.
    response.usage = Some(response.usage.unwrap_or_else(estimate));
    let observed = Observed { usage: Some(usage), ended_well };
    Ok((own.codec().write_response(&response, &request.answer_context(incoming)), observed))
}

/// An answer in the caller's own dialect without its log-probabilities, whose mean is noted.
fn without_logprobs(codec: &dyn ClientCodec, body: Bytes, shown: &mut Shown) -> Result<Bytes, BadAnswer> {
    let response = codec.read_response(&body)?;
    shown.mean_logprob = mean_logprob(&response);
    if response.choices.iter().all(|choice| choice.logprobs.is_none()) {
        return Ok(body);
    }
    let Ok(mut answer) = exact_numbers::read::<Value>(&body) else { return Ok(body) };
    codec.without_logprobs(&mut answer);
    Ok(exact_numbers::write(&answer).into())
}

/// Reads an answer as far as it must be known before nothing can be retried any more.
async fn read_passing(
    passing: Passing,
    request: &Rendering,
    mut answer: Answer,
    (client, attempt): (&ProviderClient, &Attempt),
    room: &mut AnswerRoom<'_>,
) -> Result<Answered, Unanswered> {
    let medium = passing.medium(answer.kind().map(HeaderValue::as_bytes))?;
    let kind = answer.kind().cloned().unwrap_or(HeaderValue::from_static("application/octet-stream"));
    if medium == Medium::Audio {
        let first = answer.piece().await?.filter(|first| !first.is_empty());
        let first = first.ok_or_else(|| Failure::Protocol("it is empty".to_owned()))?;
        attempt.answer_begins();
        return Ok(Answered::Bytes { kind, answer: Box::new(answer), first });
    }
    let body = whole(&mut answer, attempt, room).await?;
    if medium == Medium::Text {
        return Ok(Answered::Whole {
            body: room.hold(body),
            used: request.used(Used::default(), 0),
            ended_well: true,
            kind: Some(kind),
            shown: Shown::default(),
        });
    }
    let observed = passing.observe(&body, &request.asked);
    if !observed.as_ref().is_ok_and(|observed| observed.ended_well)
        && let Some(failed) = failed((&answer, DialectId::OpenAiChat.into()), &body, observed.as_ref().err())
    {
        return Err(failed);
    }
    let mut observed = observed?;
    observed.used.usage = observed.used.usage.map(|usage| request.usage_of(client, &body, usage));
    let (used, ended_well) = (request.used(observed.used, observed.written), observed.ended_well);
    Ok(Answered::Whole { body: room.hold(body), used, ended_well, kind: None, shown: Shown::default() })
}

/// What is left of an answer after its last event, read so that its connection can be used again.
pub async fn drain(mut answer: Box<Answer>) {
    let limit = Instant::now() + Duration::from_secs(1);
    while let Ok(Ok(Some(_rest))) = timeout_at(limit, answer.piece()).await {}
}
