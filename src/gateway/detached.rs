//! Calls that go on though their caller hung up: where the configuration says so, or an idempotency-key asks for their answer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::task::TaskTracker;

use super::idempotent::Recorder;
use super::meter::Meter;
use super::planned::Planned;
use super::reply::{Body, Reply, error_reply};
use crate::chat::{Code, Error};

/// How many pieces, and how many bytes, a call in a task of its own may be ahead of its caller.
const PIECES_AHEAD: usize = 16;
const BYTES_AHEAD: u32 = 256 << 10;

/// Serves in a task of its own that ends only with the answer: a caller that hangs up does not cut it short.
pub async fn run<S>(
    planned: Box<Planned>,
    meter: Meter,
    mut recorder: Option<Recorder>,
    serve: impl FnOnce(Box<Planned>, Meter) -> S + Send + 'static,
) -> Reply
where
    S: Future<Output = Reply> + Send,
{
    let (tasks, head) = (planned.parts.tasks.clone(), planned.head.clone());
    let pumps = tasks.clone();
    let served = tasks.spawn(async move {
        let Reply { head, body } = serve(planned, meter).await;
        if let Some(recorder) = &mut recorder {
            recorder.note(&head, matches!(body, Body::Stream(_) | Body::Events(_)));
        }
        if let Body::Whole(whole) | Body::Events(whole) = &body {
            let whole = whole.clone();
            Recorder::whole(recorder.take(), &whole).await;
        }
        let body = match body {
            Body::Stream(events) => Body::Stream(Box::pin(pumped(&pumps, events, recorder))),
            Body::Bytes(pieces) => Body::Bytes(Box::pin(pumped(&pumps, pieces, recorder))),
            whole => whole,
        };
        Reply { head, body }
    });
    served.await.unwrap_or_else(|_| error_reply(head, &Error::new(Code::Internal, "the call ended unexpectedly")))
}

/// A stream that is read to its end in a task of its own, whether its caller reads it or not.
fn pumped<E: Send + 'static, S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static>(
    tasks: &TaskTracker,
    pieces: S,
    recorder: Option<Recorder>,
) -> impl Stream<Item = Result<Bytes, E>> + Send + use<E, S> {
    let (sender, receiver) = mpsc::channel(PIECES_AHEAD);
    let ahead = Arc::new(Semaphore::new(BYTES_AHEAD as usize));
    tasks.spawn(pump(pieces, Caller { sender, ahead }, recorder));
    stream::unfold(receiver, |mut pieces| async move { pieces.recv().await.map(|(piece, _taken)| (piece, pieces)) })
}

/// A piece, with the room that it takes until its caller has it.
type Ahead<E> = (Result<Bytes, E>, Option<OwnedSemaphorePermit>);

/// The caller of a call in a task of its own.
struct Caller<E> {
    sender: mpsc::Sender<Ahead<E>>,
    ahead: Arc<Semaphore>,
}

impl<E> Caller<E> {
    /// Sends a piece once there is room for it, or drops it where the caller hung up: the answer is read to its end all the same.
    async fn send(&self, piece: Result<Bytes, E>) {
        let size = piece.as_ref().map_or(0, |piece| u32::try_from(piece.len()).unwrap_or(u32::MAX).min(BYTES_AHEAD));
        let taken = tokio::select! {
            biased;
            () = self.sender.closed() => return,
            taken = self.ahead.clone().acquire_many_owned(size) => taken.ok(),
        };
        let _hung_up = self.sender.send((piece, taken)).await.is_err();
    }
}

async fn pump<E, S: Stream<Item = Result<Bytes, E>> + Unpin>(
    mut pieces: S,
    caller: Caller<E>,
    mut recorder: Option<Recorder>,
) {
    let mut next = pieces.next().await;
    while let Some(piece) = next {
        let ahead = match (&mut recorder, &piece) {
            (Some(recorder), Ok(piece)) => {
                recorder.take(piece);
                pieces.next().now_or_never()
            }
            _ => None,
        };
        // Stored before the last bytes go down: a caller that has them may ask again at once.
        if matches!(ahead, Some(None))
            && let Some(recorder) = recorder.take()
        {
            recorder.finish().await;
        }
        caller.send(piece).await;
        next = match ahead {
            Some(ahead) => ahead,
            None => pieces.next().await,
        };
    }
    if let Some(recorder) = recorder {
        recorder.finish().await;
    }
}
