//! Ends answers whose caller reads nothing while bytes wait to be sent.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep, timeout};

use super::activity::{Activity, Serving};
use super::head_watch::HeadWatch;

/// The most bytes of an answer that are handed to one of several streams of a connection at once. What is handed over waits
/// in the connection until the caller takes it, or the connection ends.
const MOST_AT_ONCE: usize = 16 << 10;

/// How every connection of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI ";

/// A socket that fails where its caller takes no byte within the limit, so that a caller which reads nothing holds no stream,
/// and no provider's connection, for ever.
pub struct WriteTimeout {
    stream: TcpStream,
    limit: Duration,
    /// Runs while the caller takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    activity: Arc<Activity>,
    /// Reads along with HTTP/1.1; `None` once it is HTTP/2, which has no chunks.
    heads: Option<HeadWatch>,
}

impl WriteTimeout {
    /// A socket that may stall for `limit`.
    pub fn new(stream: TcpStream, limit: Duration, activity: Arc<Activity>) -> Self {
        Self { stream, limit, stalled: None, activity, heads: Some(HeadWatch::default()) }
    }

    /// Reads along, to find where heads begin.
    fn look_at(&mut self, read: &[u8]) {
        let Some(heads) = &mut self.heads else { return };
        if read.starts_with(PREFACE) && heads.is_at_start() {
            self.heads = None;
            return;
        }
        if let Some(request) = heads.read(read) {
            self.activity.note_ambiguous(request);
            self.heads = None;
        }
    }

    fn watch(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            if self.stalled.take().is_some() {
                self.activity.note_unsent(false);
            }
            return wrote;
        }
        self.activity.note_unsent(true);
        let limit = self.limit;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        stalled
            .as_mut()
            .poll(context)
            .map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, "the caller reads nothing")))
    }
}

impl AsyncRead for WriteTimeout {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.heads.is_some() {
            self.look_at(&buffer.filled()[before..]);
        }
        read
    }
}

impl AsyncWrite for WriteTimeout {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, wrote)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// The answer to one of several requests that share a connection: its caller can hold one answer back while others' bytes go,
/// so the socket shows no stall. Where no piece is taken within `limit`, the answer is dropped, and counts as served no more.
pub fn attended<E: Send + 'static>(
    pieces: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    serving: Serving,
    limit: Duration,
) -> impl Stream<Item = io::Result<Bytes>> {
    let (sender, taken) = mpsc::channel(1);
    let (cut, serving) = (Arc::new(AtomicBool::new(false)), Arc::new(serving));
    let (cuts, served) = (cut.clone(), serving.clone());
    #[expect(
        clippy::disallowed_methods,
        reason = "events are read ahead of the connection, and the task ends with it"
    )]
    tokio::spawn(async move {
        if hand_over(pieces, &sender, limit).await.is_err() {
            cuts.store(true, Ordering::Release);
            served.end();
        }
    });
    stream::unfold((taken, cut, serving), |(mut taken, cut, serving)| async move {
        match taken.recv().await {
            Some(Some(piece)) => Some((Ok(piece), (taken, cut, serving))),
            // Reported once, as an answer that broke off and not as an end.
            None if cut.swap(false, Ordering::AcqRel) => Some((Err(given_up()), (taken, cut, serving))),
            Some(None) | None => None,
        }
    })
}

/// The answer broke off, or its caller takes nothing.
struct Cut;

/// Hands over an answer, as its caller takes it; ends when that took all, or left.
async fn hand_over<E>(
    mut pieces: impl Stream<Item = Result<Bytes, E>> + Unpin,
    sender: &mpsc::Sender<Option<Bytes>>,
    limit: Duration,
) -> Result<(), Cut> {
    loop {
        let next = tokio::select! {
            next = pieces.next() => next,
            () = sender.closed() => return Ok(()),
        };
        let mut rest = match next {
            Some(Ok(piece)) => piece,
            // What broke off must not end as if it were whole.
            Some(Err(_broken)) => return Err(Cut),
            None => {
                hand(sender, None, limit).await?;
                // The caller's side ends only when there is room for more: then the last piece was taken as well.
                return timeout(limit, sender.closed()).await.map_err(|_| Cut);
            }
        };
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(MOST_AT_ONCE));
            hand(sender, Some(piece), limit).await?;
        }
    }
}

/// Hands over one piece, or the end.
async fn hand(sender: &mpsc::Sender<Option<Bytes>>, piece: Option<Bytes>, limit: Duration) -> Result<(), Cut> {
    // A caller that left is noticed before the next piece.
    timeout(limit, sender.send(piece)).await.map_or(Err(Cut), |_taken_or_left| Ok(()))
}

fn given_up() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the caller reads nothing")
}
