//! Calls that go on though their caller hung up: where the configuration says so, and where they came with an idempotency-key,
//! since whoever comes with it again is to get that call's answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{HeaderName, HeaderValue};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::call::{Planned, refuse};
use super::meter::Meter;
use super::reply::error_reply;
use super::{Body, Head, Reply, shared};
use crate::chat::{Code, Error};
use crate::idempotency::{Asked, Claim, Claimed, Kept, LARGEST};
use crate::usage::Status;

/// The header that holds the key.
pub(super) static HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key.
const LONGEST: usize = 255;

/// How many pieces a call in a task of its own may be ahead of its caller.
const PIECES_AHEAD: usize = 16;

/// Serves a call with an idempotency-key: makes it if it is the first, or gives its answer again.
pub(super) async fn serve(mut planned: Box<Planned>, mut meter: Box<Meter>) -> Reply {
    let asked = match asked(&planned) {
        Ok(asked) => asked,
        Err(error) => return refuse(planned.head, meter, error).await,
    };
    match planned.parts.idempotency.claim(asked).await {
        Ok(Claimed::First(claim)) => {
            let keeper = Keeper { claim, well: meter.watched(), kept: Kept::default(), body: BytesMut::new() };
            outlive(planned, meter, Some(keeper)).await
        }
        Ok(Claimed::Again(kept)) => again(planned, meter, kept).await,
        Err(error) => {
            planned.head.first = error.first();
            refuse(planned.head, meter, error.into()).await
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
    match &planned.request.form {
        // A form that is sent again has another boundary, but the same parts.
        Some(form) => request.extend(form.pieces()),
        None => request.push(&incoming.body),
    }
    Ok(Asked::new(incoming.id, incoming.started_at, &scope, &request))
}

/// Gives an answer again: with a row of its own, and no attempt.
async fn again(mut planned: Box<Planned>, mut meter: Box<Meter>, kept: Kept) -> Reply {
    planned.head.first = Some(kept.request);
    planned.head.replayed = true;
    planned.head.cost = Some(crate::types::Nanos(0));
    if let (Some(row), Some((provider, model))) =
        (meter.row(), kept.model.as_deref().and_then(|model| model.split_once('/')))
    {
        row.provider = Some(provider.into());
        row.model = Some(model.into());
    }
    planned.head.model = kept.model;
    planned.head.kind = kept.kind.and_then(|kind| HeaderValue::from_str(&kind).ok());
    meter.keep_answer(&kept.body);
    if let Err(error) = meter.finish(Status::Ok, 200, None).await {
        return error_reply(planned.head, &error);
    }
    let body = if kept.is_stream { Body::Events(kept.body) } else { Body::Whole(kept.body) };
    Reply { head: planned.head, body }
}

/// Keeps the answer of a call with an idempotency-key.
pub(super) struct Keeper {
    claim: Claim,
    /// Whether the call ended well.
    well: Arc<AtomicBool>,
    /// What the answer is, but for its body.
    kept: Kept,
    body: BytesMut,
}

impl Keeper {
    /// Notes whose answer it is, and of what kind.
    fn note(&mut self, head: &Head, is_stream: bool) {
        self.kept.model.clone_from(&head.model);
        self.kept.kind = head.kind.as_ref().and_then(|kind| kind.to_str().ok().map(Arc::from));
        self.kept.is_stream = is_stream;
    }

    fn take(&mut self, piece: &Bytes) {
        // One byte too many tells that it is too large.
        let room = (LARGEST + 1).saturating_sub(self.body.len());
        self.body.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// Keeps what came, if the call ended well; else the key is free again.
    async fn finish(self) {
        if self.well.load(Ordering::Acquire) {
            self.claim.keep(Kept { body: self.body.freeze(), ..self.kept }).await;
        }
    }

    /// Keeps a body that is all there.
    async fn whole(keeper: Option<Self>, body: &Bytes) {
        if let Some(mut keeper) = keeper {
            keeper.take(body);
            keeper.finish().await;
        }
    }
}

/// Serves in a task of its own that ends only with the answer: a caller that hangs up does not cut it short.
pub(super) async fn outlive(planned: Box<Planned>, meter: Box<Meter>, mut keeper: Option<Keeper>) -> Reply {
    let (tasks, head) = (planned.parts.tasks.clone(), planned.head.clone());
    let pumps = tasks.clone();
    let served = tasks.spawn(async move {
        let Reply { head, body } = shared::serve(planned, meter).await;
        if let Some(keeper) = &mut keeper {
            keeper.note(&head, matches!(body, Body::Stream(_) | Body::Events(_)));
        }
        if let Body::Whole(whole) | Body::Events(whole) = &body {
            let whole = whole.clone();
            Keeper::whole(keeper.take(), &whole).await;
        }
        let body = match body {
            Body::Stream(events) => Body::Stream(Box::pin(pumped(&pumps, events, keeper))),
            Body::Bytes(pieces) => Body::Bytes(Box::pin(pumped(&pumps, pieces, keeper))),
            whole => whole,
        };
        Reply { head, body }
    });
    served.await.unwrap_or_else(|_| error_reply(head, &Error::new(Code::Internal, "the call ended unexpectedly")))
}

/// A stream that is read to its end in a task of its own, whoever listens.
fn pumped<E: Send + 'static, S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static>(
    tasks: &TaskTracker,
    pieces: S,
    keeper: Option<Keeper>,
) -> impl Stream<Item = Result<Bytes, E>> + Send + use<E, S> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tasks.spawn(pump(pieces, sender, keeper));
    stream::unfold(receiver, |mut pieces| async move { pieces.recv().await.map(|piece| (piece, pieces)) })
}

async fn pump<E, S: Stream<Item = Result<Bytes, E>> + Unpin>(
    mut pieces: S,
    caller: mpsc::Sender<Result<Bytes, E>>,
    mut keeper: Option<Keeper>,
) {
    let mut next = pieces.next().await;
    while let Some(piece) = next {
        let ahead = match (&mut keeper, &piece) {
            (Some(keeper), Ok(piece)) => {
                keeper.take(piece);
                pieces.next().now_or_never()
            }
            _ => None,
        };
        // Kept before its last bytes go down: who has them may ask again at once.
        if matches!(ahead, Some(None))
            && let Some(keeper) = keeper.take()
        {
            keeper.finish().await;
        }
        // Nobody listens any more: the answer is read to its end all the same.
        let _observed = caller.send(piece).await;
        next = match ahead {
            Some(ahead) => ahead,
            None => pieces.next().await,
        };
    }
    if let Some(keeper) = keeper {
        keeper.finish().await;
    }
}
