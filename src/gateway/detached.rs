//! Calls that go on though their caller hung up: where the configuration says so, or an idempotency-key asks for their answer.

use bytes::Bytes;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::idempotent::Recorder;
use super::meter::Meter;
use super::planned::Planned;
use super::reply::{Body, Reply, error_reply};
use crate::chat::{Code, Error};

/// How many pieces a call in a task of its own may be ahead of its caller.
const PIECES_AHEAD: usize = 16;

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
    tasks.spawn(pump(pieces, sender, recorder));
    stream::unfold(receiver, |mut pieces| async move { pieces.recv().await.map(|piece| (piece, pieces)) })
}

async fn pump<E, S: Stream<Item = Result<Bytes, E>> + Unpin>(
    mut pieces: S,
    caller: mpsc::Sender<Result<Bytes, E>>,
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
        // The caller hung up: the answer is read to its end all the same.
        let _observed = caller.send(piece).await;
        next = match ahead {
            Some(ahead) => ahead,
            None => pieces.next().await,
        };
    }
    if let Some(recorder) = recorder {
        recorder.finish().await;
    }
}
