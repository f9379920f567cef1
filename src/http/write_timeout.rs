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

/// A socket that fails where its caller takes no byte within the limit, so that a caller which reads nothing holds no stream,
/// and no provider's connection, for ever.
pub struct WriteTimeout {
    stream: TcpStream,
    limit: Duration,
    /// Runs while the caller takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl WriteTimeout {
    /// A socket that may stall for `limit`.
    pub fn new(stream: TcpStream, limit: Duration) -> Self {
        Self { stream, limit, stalled: None }
    }

    fn watch(&mut self, context: &mut Context<'_>, wrote: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if wrote.is_ready() {
            self.stalled = None;
            return wrote;
        }
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
        Pin::new(&mut self.stream).poll_read(context, buffer)
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

/// The events of one of several streams that share a connection: its caller can hold one stream back while others' bytes go,
/// so the socket shows no stall. Where no piece is taken within `limit`, the events are dropped.
pub fn attended<E: Send + 'static>(
    mut events: impl Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    limit: Duration,
) -> impl Stream<Item = io::Result<Bytes>> {
    let (sender, pieces) = mpsc::channel(1);
    let cut = Arc::new(AtomicBool::new(false));
    let cuts = cut.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "events are read ahead of the connection, and the task ends with it"
    )]
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                next = events.next() => next,
                () = sender.closed() => return,
            };
            let piece = match next {
                Some(Ok(piece)) => piece,
                // What broke off must not end as if it were whole.
                Some(Err(_cut)) => return cuts.store(true, Ordering::Release),
                None => return,
            };
            match timeout(limit, sender.send(piece)).await {
                Ok(Ok(())) => {}
                Ok(Err(_left)) => return,
                Err(_) => return cuts.store(true, Ordering::Release),
            }
        }
    });
    stream::unfold((pieces, cut), |(mut pieces, cut)| async move {
        match pieces.recv().await {
            Some(piece) => Some((Ok(piece), (pieces, cut))),
            // Reported once, as an answer that broke off and not as an end.
            None if cut.swap(false, Ordering::AcqRel) => Some((Err(given_up()), (pieces, cut))),
            None => None,
        }
    })
}

fn given_up() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "the caller reads nothing")
}
