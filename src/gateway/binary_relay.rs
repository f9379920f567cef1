//! Bytes such as audio on their way from a provider to a caller.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};

use super::meter::Meter;
use super::open_attempt::Ended;
use super::reply::Cut;
use super::reserve::Attempt;
use super::state::Parts;
use crate::chat::Used;
use crate::routing::Target;
use crate::upstream::{Answer, Failure};
use crate::usage::Status;

/// Bytes on their way from a provider to a caller, settled before the last of them goes down.
pub struct BinaryRelay {
    parts: Arc<Parts>,
    target: Arc<Target>,
    answer: Box<Answer>,
    attempt: Attempt,
    /// Bytes that came and were not sent: they may be the last.
    held: Bytes,
    /// Bytes that may go down at once.
    ready: Bytes,
    meter: Meter,
    used: Used,
    is_over: bool,
}

impl BinaryRelay {
    /// Begins with the first bytes of an answer, and what the answer is known to use.
    pub fn new(
        parts: Arc<Parts>,
        target: Arc<Target>,
        (answer, first): (Box<Answer>, Bytes),
        (meter, attempt, used): (Meter, Attempt, Used),
    ) -> Self {
        let mut relay =
            Self { parts, target, answer, attempt, held: Bytes::new(), ready: first, meter, used, is_over: false };
        relay.hold_last();
        relay
    }

    /// The bytes as a stream. Dropping it closes the provider's connection and settles what came.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Cut>> + Send {
        stream::unfold(Box::new(self), |mut relay| async move { relay.next().await.map(|piece| (piece, relay)) })
    }

    /// The next bytes to send; `None` at the end.
    async fn next(&mut self) -> Option<Result<Bytes, Cut>> {
        loop {
            if !self.ready.is_empty() {
                return Some(Ok(std::mem::take(&mut self.ready)));
            }
            if self.is_over {
                return None;
            }
            let piece = {
                let closing = self.parts.closing.cancelled();
                tokio::select! {
                    biased;
                    piece = self.answer.piece() => piece,
                    () = closing => Err(Failure::Closing),
                }
            };
            match piece {
                Ok(Some(piece)) if piece.is_empty() => {}
                Ok(Some(piece)) => {
                    let before = std::mem::replace(&mut self.ready, piece);
                    debug_assert!(before.is_empty());
                    let held = std::mem::take(&mut self.held);
                    self.hold_last();
                    return Some(Ok(held));
                }
                Ok(None) => return self.settle_well().await,
                Err(failure) => return Some(Err(self.break_off(&failure).await)),
            }
        }
    }

    /// Keeps back the last byte of what is ready, so that no caller has all of an answer that is not settled.
    fn hold_last(&mut self) {
        self.held = self.ready.split_off(self.ready.len().saturating_sub(1));
    }

    async fn settle_well(&mut self) -> Option<Result<Bytes, Cut>> {
        self.is_over = true;
        self.meter.came_whole(&self.target);
        self.attempt.end(Ended::well(self.used));
        match self.meter.finish(Status::Ok, 200, None).await {
            Ok(()) => Some(Ok(std::mem::take(&mut self.held))),
            Err(_unsettled) => Some(Err(Cut)),
        }
    }

    /// Ends an answer that failed after it began: no retry, and its row.
    async fn break_off(&mut self, failure: &Failure) -> Cut {
        self.is_over = true;
        self.meter.showed(&self.target, failure);
        self.attempt.broke(failure);
        let code = failure.code();
        self.attempt.end(Ended {
            status: Status::Error,
            http_status: Some(200),
            error: Some(code.text()),
            retryable: false,
            used: Some(self.used),
        });
        // The transfer breaks off whether the row could be written or not.
        let _settled = self.meter.finish(Status::Error, 200, Some(code.text())).await;
        // What came before goes down first: an error that follows at once would take it along.
        tokio::task::yield_now().await;
        Cut
    }
}
