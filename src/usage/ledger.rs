//! The ledger as the gateway sees it: intend before an attempt, settle after a request.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::timeout;

use super::error::{Error, Unavailable};
use super::journal::recover;
use super::journal::segment::{SegmentRefs, left, segments};
use super::journal::slots::{Flushed, Journal, Noted, Settled};
use super::journal::tick::Waiting;
use super::lock::{DatabaseFile, Lock, lock};
use super::rows::{AttemptRow, Intent, Settlement};
use super::settling::{Job, MOST, Message};
use super::shared::Shared;
use super::store::commit;
use super::store::writer::Writer;
use crate::db::Sqlite;
use crate::types::RequestId;

/// How long a flush waits for the database.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// How a ledger is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Whether rows must survive a power loss, not only the end of the process.
    pub durable: bool,
    /// The most settlements that wait.
    pub queue: usize,
    /// How long another process may hold the database before the ledger counts as unavailable.
    pub patience: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { durable: false, queue: 65_536, patience: Duration::from_millis(250) }
    }
}

/// The ledger. Copies are the same ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(super) shared: Arc<Shared>,
    sender: mpsc::UnboundedSender<Message>,
}

/// The answer to [`Ledger::intend`]: resolves when the record is with the system, or with the disk where the ledger is durable. On a
/// worker's thread that is at the end of the tick of its event loop; elsewhere it is now.
#[derive(Debug)]
#[must_use = "an attempt must not be sent before its intent is written"]
pub struct Intended(Noted);

impl Future for Intended {
    type Output = Result<(), Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.0 {
            Noted::Now(answer) => Poll::Ready(*answer),
            Noted::Later(waiting) => Pin::new(waiting).poll(context),
        }
    }
}

/// The answer to [`Ledger::settle`]: resolves when the rows are safe, which is mostly at once, or at the end of the tick. The
/// write happens without it, too.
#[derive(Debug)]
pub struct Ack(Answer);

#[derive(Debug)]
enum Answer {
    Known(Result<(), Unavailable>),
    /// Written at the end of the tick, as this one of the tick's settlements.
    Tick(Waiting, usize),
    /// Known when the commit is.
    Commit(oneshot::Receiver<Result<(), Unavailable>>),
}

impl Ack {
    /// What it resolves to; `None` where a commit takes longer than `limit`. No time limits the end of a tick, which waits for
    /// nobody.
    pub async fn within(mut self, limit: Duration) -> Option<Result<(), Unavailable>> {
        match poll_fn(|context| self.poll_tick(context)).await {
            Some(answer) => Some(answer),
            None => timeout(limit, self).await.ok(),
        }
    }

    /// The answer, where it does not depend on a commit.
    fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<(), Unavailable>>> {
        let Self(answer) = self;
        if let Answer::Tick(waiting, number) = answer {
            let written = ready!(Pin::new(&mut *waiting).poll(context));
            *answer = match waiting.commit(*number) {
                // What the journal could not take, the database still may.
                Some(commit) => Answer::Commit(commit),
                None => Answer::Known(written),
            };
        }
        Poll::Ready(match answer {
            Answer::Known(answer) => Some(*answer),
            Answer::Tick(..) | Answer::Commit(_) => None,
        })
    }
}

impl Future for Ack {
    type Output = Result<(), Unavailable>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(answer) = ready!(self.poll_tick(context)) {
            return Poll::Ready(answer);
        }
        let Answer::Commit(receiver) = &mut self.0 else { return Poll::Pending };
        let answer = ready!(Pin::new(receiver).poll(context));
        Poll::Ready(answer.unwrap_or(Err(Unavailable)))
    }
}

/// Writes a slot's records once a tick, as long as this lives.
struct Ticks {
    ledger: Ledger,
    slot: usize,
}

impl Drop for Ticks {
    fn drop(&mut self) {
        let last = self.ledger.shared.journal.end_ticks(self.slot);
        last.into_iter().for_each(|last| self.ledger.written(last));
    }
}

impl Ledger {
    /// Opens the ledger in `db`, alone, takes up what a crash left in the journal, and charges what it cut off.
    ///
    /// # Errors
    /// [`Error::InUse`] where another process has it; the others where files or the database cannot be used.
    pub async fn open(db: &Sqlite, options: Options) -> Result<Self, Error> {
        let lock = lock(db.path(), options.patience).await?;
        Self::locked(db, options, lock).await
    }

    /// A ledger for work beside the process that writes it: it can only be read. Where no process has it, what a crash left in
    /// the journal is taken up first, so that the rows are all there.
    pub async fn beside(db: &Sqlite, options: Options) -> Self {
        if left(db.path()).is_ok_and(|files| !files.is_empty())
            && let Err(error) = Self::take_up(db, options).await
        {
            tracing::warn!(%error, "what a crash left in the ledger's journal cannot be taken up: {error}");
        }
        Self::detached(db)
    }

    async fn take_up(db: &Sqlite, options: Options) -> Result<(), Error> {
        match lock(db.path(), Duration::ZERO).await {
            Ok(lock) => Self::locked(db, options, lock).await?.close().await,
            Err(Error::InUse(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn locked(db: &Sqlite, options: Options, lock: Lock) -> Result<Self, Error> {
        let unreadable = |source| Error::File { path: db.path().to_owned(), source };
        let files = left(db.path()).map_err(unreadable)?;
        let next = segments(db.path()).map_err(unreadable)?.last().map_or(1, |last| last + 1);
        let unusable = |error: Error| error.of_file(db.path());
        let mut writer = Writer::open(db, options.patience).await.map_err(|error| unusable(error.into()))?;
        recover::all(db, &mut writer, &files, options.patience).await.map_err(unusable)?;
        let shared = Arc::new(Shared {
            journal: Journal::new(db.path(), next, options.durable),
            durable: options.durable,
            queue: options.queue,
            waiting: AtomicUsize::new(0),
            behind: AtomicI64::new(0),
            writable: AtomicBool::new(true),
            closing: AtomicBool::new(false),
            file: DatabaseFile::of(db.path()),
            urgent: AtomicBool::new(false),
            hurry: Notify::new(),
            lock: Mutex::new(Some(lock)),
        });
        let (sender, receiver) = mpsc::unbounded_channel();
        #[expect(clippy::disallowed_methods, reason = "the ledger has one writer, which lives until it is closed")]
        tokio::spawn(commit::run(db.clone(), writer, shared.clone(), receiver));
        Ok(Self { shared, sender })
    }

    /// A ledger that can only be read, for work beside the process that writes it: it takes no rows, so no call goes out.
    #[must_use]
    pub fn detached(db: &Sqlite) -> Self {
        let shared = Arc::new(Shared {
            journal: Journal::new(db.path(), 0, false),
            durable: false,
            queue: 0,
            waiting: AtomicUsize::new(0),
            behind: AtomicI64::new(0),
            writable: AtomicBool::new(false),
            closing: AtomicBool::new(true),
            file: DatabaseFile::of(db.path()),
            urgent: AtomicBool::new(false),
            hurry: Notify::new(),
            lock: Mutex::default(),
        });
        let (sender, _closed) = mpsc::unbounded_channel();
        Self { shared, sender }
    }

    /// Writes what the calls of this thread note once in each tick of its event loop, until it is dropped; to be run as a task
    /// of that loop. The calls that wait go on then.
    pub async fn write_by_ticks(self) {
        let ticks = Ticks { slot: self.shared.journal.begin_ticks(), ledger: self };
        let journal = &ticks.ledger.shared.journal;
        loop {
            poll_fn(|context| journal.poll_tick(ticks.slot, context)).await;
            ticks.ledger.end_tick(ticks.slot);
        }
    }

    /// Writes down that an attempt is about to be sent; `held` goes along to [`Ledger::settle`]. Nothing may be sent before the
    /// answer.
    pub fn intend(&self, intent: &Intent<'_>, held: &mut SegmentRefs) -> Intended {
        Intended(self.shared.journal.intend(intent, held))
    }

    /// Writes down that attempts of a request ended, which goes on. Only notes, so nobody waits, and a `Drop` may call it: where
    /// the record cannot be written, a start after a crash charges what was reserved for them.
    pub fn note_ends(&self, request: RequestId, ended: &[AttemptRow], held: &mut SegmentRefs) {
        let _nobody_waits = self.shared.journal.note_ends(request, ended, held);
    }

    /// Hands over what a request left behind. Only notes and sends, so a `Drop` may call it.
    ///
    /// The answer is there as soon as the settlement lies in the journal, where a start would find it. It waits for the
    /// commit where the ledger is durable, where bodies come along, and where the journal cannot be written.
    pub fn settle(&self, mut settlement: Settlement, held: SegmentRefs) -> Ack {
        settlement.request.bound();
        // A place in the queue comes first: what is in the journal gets to the database, too.
        if self.shared.waiting.fetch_add(1, Ordering::Relaxed) >= self.shared.queue {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::error!(
                "the ledger takes no more settlements; the attempts are charged from their intents at the next start"
            );
            return Ack(Answer::Known(Err(Unavailable)));
        }
        let job = Job { settlement, held, done: None };
        if self.shared.durable || job.settlement.bodies.is_some() {
            return Ack(Answer::Commit(self.commit(job)));
        }
        Ack(match self.shared.journal.settle(job) {
            Settled::Later(waiting, number) => Answer::Tick(waiting, number),
            Settled::Now(job) => Answer::Known(self.send(vec![job])),
            Settled::Failed(job) => Answer::Commit(self.commit(job)),
        })
    }

    /// Hands a settlement to the writer; the answer of its commit.
    fn commit(&self, mut job: Job) -> oneshot::Receiver<Result<(), Unavailable>> {
        let (done, answer) = oneshot::channel();
        job.done = Some(done);
        // Where the writer is gone, so is who would answer.
        let _gone = self.send(vec![job]);
        self.shared.hurry();
        answer
    }

    /// Hands settlements to the writer.
    fn send(&self, jobs: Vec<Job>) -> Result<(), Unavailable> {
        self.sender.send(Message::Settle(jobs)).map_err(|_| Unavailable)?;
        if self.shared.waiting.load(Ordering::Relaxed) >= MOST {
            self.shared.hurry.notify_one();
        }
        Ok(())
    }

    /// Ends a slot's tick: writes what was noted there.
    fn end_tick(&self, slot: usize) {
        self.shared.journal.flush(slot).into_iter().for_each(|flushed| self.written(flushed));
    }

    /// Reports to those who wait for a tick's records, and hands its settlements over.
    fn written(&self, flushed: Flushed) {
        let Flushed { jobs, written, result } = flushed;
        if result.is_err() {
            let commits = jobs.into_iter().map(|job| self.commit(job)).collect();
            return written.report(result, commits);
        }
        let sent = if jobs.is_empty() { Ok(()) } else { self.send(jobs) };
        written.report(sent, Vec::new());
    }

    /// Whether a call may go out: the last batch and the last record were written, and there is room for more.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.shared.writable.load(Ordering::Relaxed)
            && !self.shared.file.is_gone.load(Ordering::Relaxed)
            && self.shared.waiting.load(Ordering::Relaxed) < self.shared.queue / 4 * 3
            && self.shared.journal.is_writable()
    }

    /// Looks whether the database still lies where it was opened. Rows written to a file that was deleted are lost with the
    /// process, so no call goes out until it is back, or until a start makes a new one.
    pub fn look(&self) {
        self.shared.file.look();
    }

    /// Waits until all that was settled before is in the database, so that a reader sees it; at most two seconds.
    pub async fn flush(&self) {
        let (done, answer) = oneshot::channel();
        let flushed = async {
            self.shared.journal.slots().for_each(|slot| self.end_tick(slot));
            if self.sender.send(Message::Flush(done)).is_ok() {
                self.shared.hurry();
                // A writer that is gone has nothing left to write.
                let _gone = answer.await;
            }
        };
        if timeout(FLUSH_LIMIT, flushed).await.is_err() {
            tracing::warn!("the ledger could not write all that waits; what is read now lacks its last rows");
        }
    }

    /// Writes what waits, and ends. Settlements after it are refused.
    ///
    /// # Errors
    /// [`Error::Unwritten`] where the database could not be written within some seconds.
    pub async fn close(self) -> Result<(), Error> {
        self.shared.closing.store(true, Ordering::Relaxed);
        self.shared.journal.slots().for_each(|slot| self.end_tick(slot));
        let (done, answer) = oneshot::channel();
        if self.sender.send(Message::Close(done)).is_err() {
            return Ok(());
        }
        self.shared.hurry();
        let written = answer.await.unwrap_or(Ok(())).map_err(|Unavailable| Error::Unwritten);
        // Copies of this ledger may live on, and take no more rows.
        let lock = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(lock) = lock
            && let Err(error) = lock.release()
        {
            tracing::warn!(%error, "the ledger's lock is held until this process ends: {error}");
        }
        written
    }
}
