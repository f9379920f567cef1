//! Threads for work that takes the processor long, so that no call and no stream waits for it.
//!
//! Such work runs nowhere else. It cannot be interrupted, so it comes in pieces of a few milliseconds.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, available_parallelism};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

/// The most threads: the processors are there for calls.
const MOST_THREADS: usize = 4;

/// How many pieces of work may wait for a thread; a task with more waits for a place.
const QUEUE: usize = 64;

/// How long [`Pool::close`] waits for the pieces that run.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a piece of work brought no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The work was not done within its limit.
    #[error("the work was not done within its limit")]
    Late,
    /// The work panicked.
    #[error("the work panicked")]
    Panicked,
    /// The pool is closed.
    #[error("the process ends, and takes no more work")]
    Closed,
}

type Piece = Box<dyn FnOnce() + Send>;

/// A fixed small number of threads, and a bounded queue before them.
#[derive(Debug)]
pub struct Pool {
    /// `None` once it is closed.
    queue: Mutex<Option<mpsc::Sender<Piece>>>,
    /// Ends when no thread is left.
    threads: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Pool {
    /// A pool with a thread for every other processor, at most four.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub fn start() -> std::io::Result<Self> {
        let processors = available_parallelism().map_or(1, std::num::NonZero::get);
        Self::of((processors / 2).clamp(1, MOST_THREADS), QUEUE)
    }

    fn of(threads: usize, queue: usize) -> std::io::Result<Self> {
        let (sender, receiver) = mpsc::channel(queue);
        let (alive, ended) = mpsc::channel(1);
        let waiting = Arc::new(Mutex::new(receiver));
        for n in 0..threads {
            let (waiting, alive) = (waiting.clone(), alive.clone());
            thread::Builder::new().name(format!("fulcrum-pool-{n}")).spawn(move || {
                work(&waiting);
                drop(alive);
            })?;
        }
        Ok(Self { queue: Mutex::new(Some(sender)), threads: tokio::sync::Mutex::new(ended) })
    }

    /// Runs `piece` on a thread of the pool. What has not begun within `limit`, or whose caller is gone, does not run.
    ///
    /// # Errors
    /// As [`Error`] lists.
    pub async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        piece: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Error> {
        let deadline = Instant::now() + limit;
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(Error::Closed)?;
        let (done, result) = oneshot::channel();
        let piece = Box::new(move || {
            if !done.is_closed() {
                // Nobody waits any more where this cannot be sent.
                let _late = done.send(catch_unwind(AssertUnwindSafe(piece)).map_err(|_| Error::Panicked));
            }
        });
        timeout_at(deadline, queue.send(piece)).await.map_err(|_| Error::Late)?.map_err(|_| Error::Closed)?;
        drop(queue);
        timeout_at(deadline, result).await.map_err(|_| Error::Late)?.map_err(|_| Error::Closed)?
    }

    /// Takes no more work, and waits for the work that was taken; returns whether that ended in time.
    pub async fn close(&self) -> bool {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        timeout(LAST_WORDS, async { self.threads.lock().await.recv().await }).await.is_ok()
    }
}

/// Does what comes, until the queue is closed and empty.
fn work(waiting: &Mutex<mpsc::Receiver<Piece>>) {
    loop {
        let piece = waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
        match piece {
            Some(piece) => piece(),
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc as blocking;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    /// A pool of one thread, which waits until the sender is dropped.
    fn stuck(queue: usize) -> (Arc<Pool>, blocking::Sender<()>, tokio::task::JoinHandle<Result<bool, Error>>) {
        let (pool, (go, wait)) = (Arc::new(Pool::of(1, queue).unwrap()), blocking::channel());
        let held = pool.clone();
        #[expect(clippy::disallowed_methods, reason = "the test ends it")]
        let first = tokio::spawn(async move { held.run(LONG, move || wait.recv().is_err()).await });
        (pool, go, first)
    }

    #[tokio::test]
    async fn work_runs_on_a_thread_of_the_pool() {
        let pool = Pool::start().unwrap();
        let name = pool.run(LONG, || thread::current().name().map(str::to_owned)).await.unwrap();
        assert!(name.unwrap().starts_with("fulcrum-pool-"));
    }

    #[tokio::test]
    async fn a_panic_ends_its_own_piece_only() {
        let pool = Pool::of(1, 1).unwrap();
        assert_eq!(pool.run(LONG, || -> u32 { panic!("a piece of work") }).await, Err(Error::Panicked));
        assert_eq!(pool.run(LONG, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn what_has_not_begun_in_time_does_not_run() {
        let (pool, go, first) = stuck(1);
        tokio::task::yield_now().await;
        let runs = Arc::new(AtomicUsize::new(0));
        let brief = Duration::from_millis(5);
        // One waits in the queue, one for a place there.
        let count = |runs: &Arc<AtomicUsize>| {
            let runs = runs.clone();
            move || runs.fetch_add(1, Ordering::Relaxed)
        };
        let late = tokio::join!(pool.run(brief, count(&runs)), pool.run(brief, count(&runs)));
        assert_eq!(late, (Err(Error::Late), Err(Error::Late)));
        drop(go);
        assert_eq!(first.await.unwrap(), Ok(true));
        assert!(pool.close().await);
        assert_eq!(runs.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn a_closed_pool_ends_what_it_took_and_takes_no_more() {
        let (pool, go, first) = stuck(1);
        tokio::task::yield_now().await;
        let closing = pool.close();
        drop(go);
        assert!(closing.await);
        assert_eq!(first.await.unwrap(), Ok(true));
        assert_eq!(pool.run(LONG, || 1).await, Err(Error::Closed));
    }
}
