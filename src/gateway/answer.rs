//! An answer of a provider, read as far as it must be known before nothing can be retried any more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::{Instant, timeout_at};

use super::feed::message_of;
use super::incoming::Incoming;
use super::rendering::Rendering;
use super::reply::Repair;
use super::reserve::Attempt;
use super::upstream_request::UpstreamRequest;
use crate::chat::{self, AnswerTool, Code, Emulated, Error, Stop, Usage, Used};
use crate::routing::Target;
use crate::upstream::{Answer, Failure, ProviderClient};
use crate::wire::ProviderDialect;
use crate::wire::decoder::Decoder;
use crate::wire::dialect::{BadAnswer, Observed};
use crate::wire::endpoint::Task;
use crate::wire::passing::{Medium, Passing};
use crate::wire::sse::Event;

/// The longest whole answer.
pub const MAX_WHOLE: usize = 64 << 20;

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
        /// The tool by which it answers.
        answer_tool: Option<AnswerTool>,
        /// The rest of it.
        answer: Box<Answer>,
        /// What was read so far, with the first event taken out.
        decoder: Decoder,
        /// The first event.
        first: Event,
    },
}

/// Reads an answer as far as it must be known before nothing can be retried any more.
pub async fn read(
    mut answer: Answer,
    (request, incoming): (&Rendering, &Incoming),
    upstream_request: &UpstreamRequest,
    client: &ProviderClient,
) -> Result<Answered, Failure> {
    if answer.is_stream() {
        return read_first(answer, request, upstream_request).await;
    }
    if let Some(passing) = request.endpoint.passing() {
        return read_passing(passing, request, answer, client).await;
    }
    let body = answer.whole(MAX_WHOLE).await?;
    let (body, observed) = observe(body, (request, incoming), upstream_request, client)
        .map_err(|BadAnswer(reason)| Failure::Protocol(reason))?;
    let estimate = || Usage {
        input: request.input_tokens(),
        output: u64::try_from(observed.choice_bytes / 4).unwrap_or(u64::MAX),
        estimated: true,
        ..Usage::default()
    };
    let used = observed.usage.unwrap_or_else(estimate).into();
    Ok(Answered::Whole { body, used, ended_well: observed.ended_well, kind: None })
}

/// A whole answer in the caller's dialect, and what was observed of it.
fn observe(
    body: Bytes,
    (request, incoming): (&Rendering, &Incoming),
    upstream_request: &UpstreamRequest,
    client: &ProviderClient,
) -> Result<(Bytes, Observed), BadAnswer> {
    let UpstreamRequest { dialect, answer_tool, .. } = upstream_request;
    let dialect = *dialect;
    match request.endpoint.task() {
        Task::Embed { .. } => {
            let (body, usage) = request.vectors(body, dialect)?;
            return Ok((body, Observed { usage, choice_bytes: 0, ended_well: true }));
        }
        Task::Count(counting) if !(counting.is_answer)(&body) => {
            return Err(BadAnswer("it counts no tokens".to_owned()));
        }
        Task::Count(_) => {
            let none = Observed { usage: Some(Usage::default()), choice_bytes: 0, ended_well: true };
            return Ok((body, none));
        }
        Task::Converse | Task::Pass(_) => {}
    }
    let own = request.endpoint.dialect();
    let counted = |usage: Option<Usage>| usage.map(|usage| request.usage_of(client, &body, usage));
    if dialect == own.into() && answer_tool.is_none() {
        let observed = own.codec().observe(&body)?;
        let observed = Observed { usage: counted(observed.usage), ..observed };
        return Ok((body, observed));
    }
    let mut response = dialect.codec().read_response(&body)?;
    if let Some(tool) = answer_tool {
        response = tool.unwrap(response);
    }
    let good = |stop: &Option<Stop>| matches!(stop, Some(Stop::End | Stop::Sequence(_) | Stop::Length | Stop::Tools));
    if dialect != own.into() {
        dialect.codec().maker().mark_answer(&mut response);
    }
    let ended_well = !response.choices.is_empty() && response.choices.iter().all(|choice| good(&choice.stop));
    own.codec().can_express(&response)?;
    let observed = Observed { usage: counted(response.usage), choice_bytes: body.len(), ended_well };
    Ok((own.codec().write_response(&response, &request.answer_context(incoming)), observed))
}

async fn read_first(
    mut answer: Answer,
    request: &Rendering,
    upstream_request: &UpstreamRequest,
) -> Result<Answered, Failure> {
    let dialect = upstream_request.dialect;
    if !request.asked.stream {
        return Err(Failure::Protocol("it is a stream, which was not asked for".to_owned()));
    }
    let mut decoder = dialect.codec().decoder();
    loop {
        match decoder.event() {
            Ok(Some(event)) if event.data().is_some() => {
                return match early_error(&event, &answer, dialect) {
                    Some(failure) => Err(failure),
                    None => Ok(Answered::Stream {
                        dialect: upstream_request.dialect,
                        answer_tool: upstream_request.answer_tool.clone(),
                        answer: Box::new(answer),
                        decoder,
                        first: event,
                    }),
                };
            }
            Ok(Some(_comment)) => {}
            Ok(None) => match answer.piece().await? {
                Some(piece) => decoder.push(piece),
                None => return Err(Failure::Protocol("the stream ended before it began".to_owned())),
            },
            Err(error) => return Err(Failure::Protocol(error.to_string())),
        }
    }
}

/// Reads an answer as far as it must be known before nothing can be retried any more.
async fn read_passing(
    passing: Passing,
    request: &Rendering,
    mut answer: Answer,
    client: &ProviderClient,
) -> Result<Answered, Failure> {
    let bad = |BadAnswer(reason): BadAnswer| Failure::Protocol(reason);
    let medium = passing.medium(answer.kind().map(HeaderValue::as_bytes)).map_err(bad)?;
    let kind = answer.kind().cloned().unwrap_or(HeaderValue::from_static("application/octet-stream"));
    if medium == Medium::Audio {
        let first = answer.piece().await?.filter(|first| !first.is_empty());
        let first = first.ok_or_else(|| Failure::Protocol("it is empty".to_owned()))?;
        return Ok(Answered::Bytes { kind, answer: Box::new(answer), first });
    }
    let body = answer.whole(MAX_WHOLE).await?;
    if medium == Medium::Text {
        return Ok(Answered::Whole {
            body,
            used: request.used(Used::default(), 0),
            ended_well: true,
            kind: Some(kind),
        });
    }
    let mut observed = passing.observe(&body, &request.asked).map_err(bad)?;
    observed.used.usage = observed.used.usage.map(|usage| request.usage_of(client, &body, usage));
    let estimated_output = u64::try_from(observed.text_bytes / 4).unwrap_or(u64::MAX);
    Ok(Answered::Whole { body, used: request.used(observed.used, estimated_output), ended_well: true, kind: None })
}

/// An error that stands where the first chunk should: nothing went down yet, so another try may do better.
fn early_error(event: &Event, answer: &Answer, dialect: ProviderDialect) -> Option<Failure> {
    let data = event.data()?;
    memchr::memmem::find(&data, b"\"error\"")?;
    let fields: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&data).ok()?;
    let reported = fields.get("error").is_some_and(|error| !error.is_null());
    let named = fields.get("type").is_some_and(|kind| kind == "error");
    if !reported && !named {
        return None;
    }
    let message = answer.scrubbed(&message_of(&data));
    let mut meant = Vec::new();
    let read = dialect.codec().stream_reader().read(event, &mut meant);
    let error = match (read, meant.pop()) {
        (Ok(()), Some(chat::Event::Failed(error))) => Error { message, ..error },
        _ => Error::new(Code::UpstreamError, message),
    };
    Some(match error.code {
        Code::UpstreamRateLimited => Failure::Throttled { retry_after: error.retry_after, message: error.message },
        Code::UpstreamAuth => Failure::Auth { status: 200, another_key: false },
        Code::InvalidRequest => {
            Failure::Refused { status: 200, error: Box::new(Error { upstream_code: None, ..error }) }
        }
        _ => Failure::Server { status: 200, error: Box::new(error) },
    })
}

/// What is left of an answer after its last event, read so that its connection can be used again.
pub async fn drain(mut answer: Box<Answer>) {
    let limit = Instant::now() + Duration::from_secs(1);
    while let Ok(Ok(Some(_rest))) = timeout_at(limit, answer.piece()).await {}
}
