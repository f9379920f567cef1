//! The writer's task: group commit, patience with a database that cannot be written, and checkpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::queries;
use super::writer::{Failure, Writer};
use crate::db::Sqlite;
use crate::types::now;
use crate::usage::error::Unavailable;
use crate::usage::rows::Settlement;
use crate::usage::settling::{Answer, Job, MOST, Message};
use crate::usage::shared::Shared;

/// How long fewer wait for others, where no answer waits for them: the journal has them. Longer makes larger batches, which keep
/// a core from the calls for longer: at 2,000 a second 100 ms added 4 ms to the slowest hundredth.
const PATIENCE: Duration = Duration::from_millis(25);
/// How often the task lets others run to see whether more comes, before it commits.
const LOOKS: usize = 8;
/// Pauses between tries while the database cannot be written.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How many tries a batch has when the process is about to end.
const LAST_TRIES: usize = 12;
/// Pages after which the WAL is written back aside, and after which the writer stops for it to begin anew.
const CHECKPOINT_PAGES: usize = 2_000;
const RESTART_PAGES: i64 = 12_000;

/// Writes until it is asked to close, or until every ledger is gone.
pub(in crate::usage) async fn run(
    db: Sqlite,
    writer: Writer,
    shared: Arc<Shared>,
    mut receiver: mpsc::UnboundedReceiver<Message>,
) {
    let checkpoints = Arc::new(Checkpoints::default());
    #[expect(clippy::disallowed_methods, reason = "a checkpoint must not hold up commits")]
    let aside = tokio::spawn(write_back(db, checkpoints.clone()));
    let mut commits = Commits { writer, shared, checkpoints, busy: false };
    let mut failed = false;
    while let Some(first) = receiver.recv().await {
        let mut taken = Taken::default();
        taken.add(&commits.shared, first);
        commits.shared.behind.store(if taken.jobs.is_empty() { 0 } else { now().0 }, Ordering::Relaxed);
        wait(&commits.shared, &mut receiver, &mut taken).await;
        failed |= commits.commit(taken.jobs).await.is_err();
        commits.shared.behind.store(0, Ordering::Relaxed);
        commits.check_pages().await;
        taken.flushed.into_iter().for_each(tell);
        if let Some(done) = taken.closer {
            receiver.close();
            failed |= commits.drain(&mut receiver).await.is_err();
            commits.shared.journal.close();
            commits.writer.checkpoint().await;
            // A closer that stopped waiting is no failure.
            let _unheard = done.send(if failed { Err(Unavailable) } else { Ok(()) });
            break;
        }
    }
    aside.abort();
}

/// Some messages by what they ask.
#[derive(Default)]
struct Taken {
    jobs: Vec<Job>,
    flushed: Vec<oneshot::Sender<()>>,
    closer: Option<oneshot::Sender<Answer>>,
}

impl Taken {
    fn add(&mut self, shared: &Shared, message: Message) {
        match message {
            Message::Settle(mut jobs) => {
                shared.waiting.fetch_sub(jobs.len(), Ordering::Relaxed);
                self.jobs.append(&mut jobs);
            }
            Message::Flush(done) => self.flushed.push(done),
            Message::Close(done) => self.closer = Some(done),
        }
    }

    /// Takes what is there, up to a batch.
    fn fill(&mut self, shared: &Shared, receiver: &mut mpsc::UnboundedReceiver<Message>) {
        while self.jobs.len() < MOST
            && let Ok(message) = receiver.try_recv()
        {
            self.add(shared, message);
        }
    }
}

fn tell(done: oneshot::Sender<()>) {
    // Who stopped waiting has lost nothing.
    let _unheard = done.send(());
}

/// Waits for a batch that is worth its transaction, as long as no answer waits for the commit.
async fn wait(shared: &Shared, receiver: &mut mpsc::UnboundedReceiver<Message>, taken: &mut Taken) {
    let until = Instant::now() + PATIENCE;
    while !shared.urgent.swap(false, Ordering::AcqRel)
        && taken.jobs.len() + shared.waiting.load(Ordering::Relaxed) < MOST
    {
        // What was enough before may be written by now, so being woken does not end the wait.
        if timeout_at(until, shared.hurry.notified()).await.is_err() {
            break;
        }
    }
    taken.fill(shared, receiver);
    if taken.jobs.iter().any(|job| job.done.is_some()) {
        gather(shared, receiver, taken).await;
    }
}

/// Lets the tasks that are ready run, as long as that brings settlements: under load batches grow, and alone nothing waits.
async fn gather(shared: &Shared, receiver: &mut mpsc::UnboundedReceiver<Message>, taken: &mut Taken) {
    for _ in 0..LOOKS {
        let before = taken.jobs.len();
        tokio::task::yield_now().await;
        taken.fill(shared, receiver);
        if taken.jobs.len() == before || taken.jobs.len() >= MOST {
            return;
        }
    }
}

struct Commits {
    writer: Writer,
    shared: Arc<Shared>,
    checkpoints: Arc<Checkpoints>,
    /// Whether another held the database at the last try.
    busy: bool,
}

impl Commits {
    /// Commits jobs and answers them; where a row is unfit, each job alone.
    async fn commit(&mut self, jobs: Vec<Job>) -> Answer {
        if jobs.is_empty() {
            return Ok(());
        }
        let batch: Vec<_> = jobs.iter().map(|job| &job.settlement).collect();
        let awaited = jobs.iter().any(|job| job.done.is_some());
        let written = self.persist(&batch, awaited).await;
        drop(batch);
        match written {
            Err(Failure::Duplicate | Failure::Unfit(_)) if jobs.len() > 1 => {
                let mut result = Ok(());
                for job in jobs {
                    let written = self.persist(&[&job.settlement], job.done.is_some()).await;
                    result = result.and(self.answer(vec![job], written));
                }
                result
            }
            written => self.answer(jobs, written),
        }
    }

    /// Commits what is left after the channel was closed.
    async fn drain(&mut self, receiver: &mut mpsc::UnboundedReceiver<Message>) -> Answer {
        let mut result = Ok(());
        let mut taken = Taken::default();
        while let Some(message) = receiver.recv().await {
            taken.add(&self.shared, message);
            if taken.jobs.len() >= MOST {
                let written = self.commit(std::mem::take(&mut taken.jobs)).await;
                result = result.and(written);
            }
            if let Some(done) = taken.closer.take() {
                let _unheard = done.send(Ok(()));
            }
        }
        let written = self.commit(taken.jobs).await;
        taken.flushed.into_iter().for_each(tell);
        result.and(written)
    }

    /// Tries until the batch is written, or cannot ever be. While another only holds the lock, calls go on from the journal, until
    /// the queue is full; but where answers wait for the commit (`awaited`), no more calls go out.
    async fn persist(&mut self, batch: &[&Settlement], awaited: bool) -> Result<(), Failure> {
        let mut pause = FIRST_PAUSE;
        let mut last_tries = LAST_TRIES;
        loop {
            let Err(failure) = self.writer.write(batch, &[]).await else {
                self.writable(true);
                self.busy = false;
                return Ok(());
            };
            match &failure {
                Failure::Busy(reason) if !awaited => {
                    if !std::mem::replace(&mut self.busy, true) {
                        tracing::warn!(%reason, "another holds the database: {reason}; the ledger's journal goes on without it");
                    }
                }
                Failure::Busy(reason) | Failure::Unwritable(reason) => {
                    if self.writable(false) {
                        tracing::error!(%reason, waiting = batch.len(), "the ledger cannot be written: {reason}; no call goes out until it can");
                    }
                }
                Failure::Duplicate | Failure::Unfit(_) => return Err(failure),
            }
            if self.shared.closing.load(Ordering::Relaxed) {
                last_tries -= 1;
                if last_tries == 0 {
                    return Err(failure);
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Says whether the ledger can be written; returns whether that is news.
    fn writable(&self, now: bool) -> bool {
        let before = self.shared.writable.swap(now, Ordering::Relaxed);
        if now && !before {
            tracing::info!("the ledger can be written again");
        }
        before != now
    }

    fn answer(&self, jobs: Vec<Job>, written: Result<(), Failure>) -> Answer {
        let answer = match written {
            Ok(()) => Ok(()),
            Err(Failure::Duplicate) => {
                tracing::error!("a request was settled a second time; its first rows stand");
                Ok(())
            }
            Err(Failure::Unfit(reason)) => {
                tracing::error!(%reason, "a settlement does not fit the ledger and is left out: {reason}");
                Err(Unavailable)
            }
            Err(Failure::Busy(_) | Failure::Unwritable(_)) => Err(Unavailable),
        };
        let (held, waiting): (Vec<_>, Vec<_>) = jobs.into_iter().map(|job| (job.held, job.done)).unzip();
        if answer.is_ok() {
            self.shared.journal.settled(held.into_iter());
        }
        for done in waiting.into_iter().flatten() {
            // Who stopped waiting has lost nothing: the row stands.
            let _unheard = done.send(answer);
        }
        answer
    }

    /// Has the WAL written back when it has grown.
    async fn check_pages(&mut self) {
        if self.checkpoints.restart.swap(false, Ordering::Relaxed) {
            self.writer.checkpoint().await;
        }
        let pages = self.checkpoints.pages.fetch_add(self.writer.take_pages(), Ordering::Relaxed);
        if pages > CHECKPOINT_PAGES {
            self.checkpoints.pages.store(0, Ordering::Relaxed);
            self.checkpoints.due.notify_one();
        }
    }
}

/// What the writer and the task that writes the WAL back share.
#[derive(Debug, Default)]
struct Checkpoints {
    due: Notify,
    pages: std::sync::atomic::AtomicUsize,
    /// The WAL is long, and can be written back whole when the writer stops for a moment.
    restart: AtomicBool,
}

/// Writes the WAL back beside the writer, which goes on meanwhile.
async fn write_back(db: Sqlite, checkpoints: Arc<Checkpoints>) {
    let mut connection = None;
    loop {
        checkpoints.due.notified().await;
        if connection.is_none() {
            connection = db.connect().await.ok();
        }
        let Some(open) = &mut connection else { continue };
        match queries::checkpoint(open).await {
            Ok(pages) if pages > RESTART_PAGES => checkpoints.restart.store(true, Ordering::Relaxed),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "the write-ahead log cannot be written back: {error}");
                connection = None;
            }
        }
    }
}
