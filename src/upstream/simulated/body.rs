//! The body of a made-up answer: pieces, each at its time.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use tokio::time::{Instant, Sleep, sleep_until};

/// The connection broke, as the fault `cut` asks for.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the simulated connection broke in the middle of the answer")]
pub struct Cut;

/// What comes at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// These bytes.
    Bytes(Bytes),
    /// The end of the connection.
    Cut,
    /// Nothing, for ever.
    Stall,
}

/// A stream of pieces. Time runs from the first poll.
pub struct Body {
    pieces: VecDeque<(Duration, Piece)>,
    began: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body {
    /// Pieces, each with its time from the beginning, in the order of their times.
    #[must_use]
    pub fn new(pieces: impl IntoIterator<Item = (Duration, Piece)>) -> Self {
        Self { pieces: pieces.into_iter().collect(), began: None, sleep: None }
    }

    /// The whole body at once.
    #[must_use]
    pub fn whole(bytes: Bytes) -> Self {
        Self::new([(Duration::ZERO, Piece::Bytes(bytes))])
    }

    /// The bytes, where the body is one piece without delay.
    #[must_use]
    pub fn as_whole(&self) -> Option<&Bytes> {
        match (self.pieces.len(), self.pieces.front()) {
            (1, Some((Duration::ZERO, Piece::Bytes(bytes)))) => Some(bytes),
            _ => None,
        }
    }

    /// The pieces that are still to come.
    pub fn pieces(&self) -> impl Iterator<Item = &(Duration, Piece)> {
        self.pieces.iter()
    }

    /// Waits for the moment `after` the beginning.
    fn poll_moment(&mut self, after: Duration, cx: &mut Context<'_>) -> Poll<()> {
        if after.is_zero() {
            return Poll::Ready(());
        }
        let due = *self.began.get_or_insert_with(Instant::now) + after;
        if due <= Instant::now() {
            self.sleep = None;
            return Poll::Ready(());
        }
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(due)));
        if sleep.deadline() != due {
            sleep.as_mut().reset(due);
        }
        sleep.as_mut().poll(cx)
    }
}

impl Stream for Body {
    type Item = Result<Bytes, Cut>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.began.get_or_insert_with(Instant::now);
        let Some(&(after, _)) = self.pieces.front() else {
            return Poll::Ready(None);
        };
        ready!(self.poll_moment(after, cx));
        match self.pieces.pop_front() {
            Some((_, Piece::Bytes(bytes))) => Poll::Ready(Some(Ok(bytes))),
            Some((_, Piece::Cut)) => {
                self.pieces.clear();
                Poll::Ready(Some(Err(Cut)))
            }
            Some((after, Piece::Stall)) => {
                // The piece stays for a poll after a wake-up that something else caused.
                self.pieces.push_front((after, Piece::Stall));
                Poll::Pending
            }
            None => Poll::Ready(None),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(&self.pieces).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    async fn next(body: &mut Body) -> Option<Result<Bytes, Cut>> {
        poll_fn(|cx| Pin::new(&mut *body).poll_next(cx)).await
    }

    fn bytes(text: &'static str) -> Piece {
        Piece::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test(flavor = "current_thread")]
    async fn pieces_come_in_order_then_the_end() {
        let mut body = Body::new([(Duration::ZERO, bytes("a")), (MS, bytes("b")), (MS, bytes("c"))]);
        for wanted in ["a", "b", "c"] {
            assert_eq!(next(&mut body).await, Some(Ok(Bytes::from_static(wanted.as_bytes()))));
        }
        assert_eq!(next(&mut body).await, None);
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn nothing_comes_after_a_cut() {
        let mut body = Body::new([(Duration::ZERO, Piece::Cut), (MS, bytes("b"))]);
        assert_eq!(next(&mut body).await, Some(Err(Cut)));
        assert_eq!(next(&mut body).await, None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_stall_never_ends() {
        let mut body = Body::new([(Duration::ZERO, Piece::Stall)]);
        for _ in 0..3 {
            let polled = poll_fn(|cx| Poll::Ready(Pin::new(&mut body).poll_next(cx))).await;
            assert!(polled.is_pending());
        }
    }

    #[test]
    fn only_one_undelayed_piece_is_whole() {
        assert_eq!(Body::whole(Bytes::from_static(b"x")).as_whole().map(Bytes::len), Some(1));
        assert!(Body::new([(MS, bytes("a"))]).as_whole().is_none());
        assert!(Body::new([(Duration::ZERO, bytes("a")), (Duration::ZERO, bytes("b"))]).as_whole().is_none());
        assert!(Body::new([(Duration::ZERO, Piece::Cut)]).as_whole().is_none());
    }
}
