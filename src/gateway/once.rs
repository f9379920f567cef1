//! Calls that go on though their caller hung up: where the configuration says so, and where they came with an idempotency-key,
//! since whoever comes with it again is to get that call's answer.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, Stream, StreamExt, stream};
use http::{HeaderName, HeaderValue};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::call::{Planned, error_reply, refuse};
use super::meter::Meter;
use super::{Body, Reply, shared};
use crate::chat::{Code, Error};
use crate::idempotency::{Asked, Claim, Claimed, Kept, LARGEST};
use crate::usage::Status;

/// The header that holds the key.
pub(super) static HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The longest key.
const LONGEST: usize = 255;

/// How many pieces a call in a task of its own may be ahead of its caller.
const PIECES_AHEAD: usize = 16;

type Events = Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>> + Send>>;

/// Serves a call with an idempotency-key: makes it if it is the first, or gives its answer again.
pub(super) async fn serve(mut planned: Box<Planned>, mut meter: Box<Meter>) -> Reply {
    let asked = match asked(&planned) {
        Ok(asked) => asked,
        Err(error) => return refuse(planned.head, meter, error).await,
    };
    match planned.parts.idempotency.claim(asked).await {
        Ok(Claimed::First(claim)) => {
            let well = meter.watched();
            outlive(planned, meter, Some(Keeper { claim, well, kept: BytesMut::new() })).await
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
    let ask = &planned.ask;
    let key = ask.headers.get(&HEADER).map_or(&[][..], HeaderValue::as_bytes);
    if key.is_empty() || key.len() > LONGEST || !key.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return Err(Error::field(HEADER.as_str(), "an idempotency-key has 1 to 255 printable ASCII characters"));
    }
    let scope = [ask.key.id.as_bytes(), ask.api.name().as_bytes(), key];
    let model = ask.addressed.model.as_deref().unwrap_or_default();
    let mut request = vec![model.as_bytes(), if ask.addressed.stream { &[1] } else { &[0] }];
    match &planned.work.form {
        // A form that is sent again has another boundary, but the same parts.
        Some(form) => request.extend(form.pieces()),
        None => request.push(&ask.body),
    }
    Ok(Asked::new(ask.id, ask.started_at, &scope, &request))
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
    /// What came of its stream.
    kept: BytesMut,
}

impl Keeper {
    fn take(&mut self, piece: &Bytes) {
        // One byte too many tells that it is too large.
        let room = (LARGEST + 1).saturating_sub(self.kept.len());
        self.kept.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    /// Keeps what came, if the call ended well; else the key is free again.
    async fn finish(self, model: Option<Arc<str>>, is_stream: bool) {
        if self.well.load(Ordering::Acquire) {
            self.claim.keep(model, is_stream, self.kept.freeze()).await;
        }
    }
}

/// Serves in a task of its own that ends only with the answer: a caller that hangs up does not cut it short.
pub(super) async fn outlive(planned: Box<Planned>, meter: Box<Meter>, keeper: Option<Keeper>) -> Reply {
    let (tasks, head) = (planned.parts.tasks.clone(), planned.head.clone());
    let pumps = tasks.clone();
    let served = tasks.spawn(async move {
        let mut reply = shared::serve(planned, meter).await;
        let model = reply.head.model.clone();
        reply.body = match (reply.body, keeper) {
            (Body::Stream(events), keeper) => {
                let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
                pumps.spawn(pump(events, sender, keeper, model));
                let pieces = stream::unfold(receiver, |mut pieces| async move {
                    pieces.recv().await.map(|piece| (Ok(piece), pieces))
                });
                Body::Stream(Box::pin(pieces))
            }
            (Body::Bytes(pieces), keeper) => Body::Bytes(Box::pin(pumped(&pumps, pieces, keeper))),
            // Only JSON and events are kept: of another answer it is not remembered what it is.
            (Body::Whole(body), Some(_)) if reply.head.kind.is_some() => Body::Whole(body),
            (Body::Whole(body), Some(mut keeper)) => {
                keeper.take(&body);
                keeper.finish(model, false).await;
                Body::Whole(body)
            }
            (Body::Events(body), Some(mut keeper)) => {
                keeper.take(&body);
                keeper.finish(model, true).await;
                Body::Events(body)
            }
            (body, None) => body,
        };
        reply
    });
    served.await.unwrap_or_else(|_| error_reply(head, &Error::new(Code::Internal, "the call ended unexpectedly")))
}

/// A stream that is read to its end in a task of its own, whoever listens. It is not kept, but its key is taken until then.
fn pumped<T: Send + 'static, S: Stream<Item = T> + Send + Unpin + 'static>(
    tasks: &TaskTracker,
    mut pieces: S,
    keeper: Option<Keeper>,
) -> impl Stream<Item = T> + Send + use<T, S> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    tasks.spawn(async move {
        while let Some(piece) = pieces.next().await {
            let _heard = sender.send(piece).await;
        }
        drop(keeper);
    });
    stream::unfold(receiver, |mut pieces| async move { pieces.recv().await.map(|piece| (piece, pieces)) })
}

/// Reads a stream to its end, whether or not somebody still listens.
async fn pump(mut events: Events, caller: mpsc::Sender<Bytes>, mut keeper: Option<Keeper>, model: Option<Arc<str>>) {
    let mut next = events.next().await;
    while let Some(Ok(piece)) = next {
        let ahead = match &mut keeper {
            Some(keeper) => {
                keeper.take(&piece);
                events.next().now_or_never()
            }
            None => None,
        };
        // Kept before its last bytes go down: who has them may ask again at once.
        if matches!(ahead, Some(None))
            && let Some(keeper) = keeper.take()
        {
            keeper.finish(model.clone(), true).await;
        }
        // Nobody listens any more: the answer is read to its end all the same.
        let _heard = caller.send(piece).await;
        next = match ahead {
            Some(ahead) => ahead,
            None => events.next().await,
        };
    }
    if let Some(keeper) = keeper {
        keeper.finish(model, true).await;
    }
}
