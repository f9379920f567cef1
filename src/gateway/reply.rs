//! What goes back to the caller.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderValue;

use crate::chat::{Code, Emulated, Error};
use crate::routing::Target;
use crate::types::{Nanos, PromptName, RequestId};
use crate::wire::DialectId;
use crate::wire::endpoint::Endpoint;

/// What the call that goes out reports to the calls that follow it, before its first byte.
#[derive(Clone)]
pub struct Departure {
    /// The target that answers.
    pub target: Arc<Target>,
    /// How many calls of providers it took.
    pub attempts: usize,
    /// What it cost, where that is known before the body goes.
    pub cost: Option<Nanos>,
    /// Whether the answer comes as a stream.
    pub is_stream: bool,
    /// What was emulated.
    pub emulated: Emulated,
    /// What became of an answer that was not of the form asked for.
    pub repair: Option<Repair>,
}

/// What became of an answer that was not of the form that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// The second answer has the form.
    Repaired,
    /// There was no second answer, or it has not the form either.
    Failed,
}

impl Repair {
    /// As `x-fulcrum-repair` has it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::Failed => "failed",
        }
    }
}

/// An answer, or an error in the shape of one.
pub struct Reply {
    /// What the headers report.
    pub head: Head,
    /// The body.
    pub body: Body,
}

/// A body: whole, or events as they come.
pub enum Body {
    /// JSON.
    Whole(Bytes),
    /// Server-sent events that are all there.
    Events(Bytes),
    /// Server-sent events. Dropping it cancels the call.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>> + Send>>),
    /// Bytes of the head's `kind` as they come. An error breaks the transfer off. Dropping it cancels the call.
    Bytes(Pin<Box<dyn Stream<Item = Result<Bytes, Cut>> + Send>>),
}

/// The provider's answer broke off, so that ours must not end as if it were whole.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the provider's answer broke off")]
pub struct Cut;

/// What an answer's headers report.
#[derive(Clone, Debug)]
pub struct Head {
    /// The request's id.
    pub id: RequestId,
    /// The HTTP status.
    pub status: u16,
    /// The caller's dialect.
    pub dialect: DialectId,
    /// The `content-type`, where it is neither JSON nor events.
    pub kind: Option<HeaderValue>,
    /// What was emulated.
    pub emulated: Emulated,
    /// What became of an answer that was not of the form asked for.
    pub repair: Option<Repair>,
    /// `provider/model`.
    pub model: Option<Arc<str>>,
    /// The route taken.
    pub route: Option<Arc<str>>,
    /// The prompt used.
    pub prompt: Option<(PromptName, u32)>,
    /// The experiment and the arm, `experiment:arm`.
    pub variant: Option<Arc<str>>,
    /// What the cache did: `hit`, `semantic`, `miss`, `bypass` or `coalesced`.
    pub cache: Option<&'static str>,
    /// How old a cached answer is.
    pub age: Option<Duration>,
    /// How similar the question is that a cached answer was for, where that is another.
    pub similarity: Option<f64>,
    /// How many calls of providers it took; 0 where none was made.
    pub attempts: usize,
    /// What it cost, where that is known before the body goes.
    pub cost: Option<Nanos>,
    /// When to ask again, on an error.
    pub retry_after: Option<Duration>,
    /// Whether the caller's SDK should not retry: we did, or it would be of no use.
    pub is_final: bool,
    /// Whether the answer, or the error, was made up by a simulated provider.
    pub simulated: bool,
    /// The request that used this one's idempotency-key first.
    pub first: Option<RequestId>,
    /// Whether this is that one's answer again.
    pub replayed: bool,
    /// What went wrong, where it is an error.
    pub code: Option<Code>,
}

impl Head {
    /// A head that reports nothing yet.
    #[must_use]
    pub fn new(id: RequestId, status: u16, dialect: DialectId) -> Self {
        Self {
            id,
            status,
            dialect,
            kind: None,
            emulated: Emulated::default(),
            repair: None,
            model: None,
            route: None,
            prompt: None,
            variant: None,
            cache: None,
            age: None,
            similarity: None,
            attempts: 0,
            cost: None,
            retry_after: None,
            is_final: false,
            simulated: false,
            first: None,
            replayed: false,
            code: None,
        }
    }
}

/// An error of a call that was never made, as a caller of `endpoint` reads it.
#[must_use]
pub fn refusal(id: RequestId, endpoint: Endpoint, error: &Error) -> Reply {
    error_reply(Head::new(id, 200, endpoint.dialect()), error)
}

/// An error as the caller reads it.
pub fn error_reply(mut head: Head, error: &Error) -> Reply {
    head.status = error.status();
    head.retry_after = error.retry_after;
    head.is_final = error.is_final();
    head.simulated |= error.simulated;
    head.code = Some(error.code);
    let body = head.dialect.codec().error_body(error, head.id.text().as_str());
    Reply { head, body: Body::Whole(body) }
}
