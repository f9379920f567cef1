//! Files that callers leave here, and batches that run from them, in the shape of OpenAI's API.

mod batch;
mod error;
mod file;
mod handover;
mod line;
mod split;
mod store;
#[cfg(test)]
mod tests;
mod upload;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use tokio::sync::watch;

use crate::db::Db;
use crate::types::Timestamp;

pub use batch::{Batch, Counts, Flaw, NewBatch, Status, Times};
pub use error::Error;
pub use file::{File, Purpose};
pub use handover::{Awaited, HandedLine, Handover, Stage};
pub use line::{Line, Verdict, read_line, result};
pub use split::{Lines, Piece, TooLong};
pub use store::{NewLine, Pending, Stored};
pub use upload::{Closed, Upload};

/// The bytes of a file's piece; only the last is shorter.
pub const CHUNK: usize = 256 << 10;

/// The routes that the lines of a batch may call.
pub const ENDPOINTS: [&str; 6] =
    ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages", "/v1/completions", "/v1/moderations"];

/// How long a batch may take: the one window there is.
pub const WINDOW: Duration = Duration::from_secs(86_400);

/// How many rows or pieces one statement deletes, so that none holds the database for long.
const SWEEP: i64 = 64;

/// What the configuration says of files and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The largest file, in bytes.
    pub max_size: u64,
    /// The most bytes that the files of one project take together.
    pub max_total: u64,
    /// How long a file is kept that says nothing else.
    pub retention: Duration,
    /// The most lines of a batch.
    pub max_lines: u64,
    /// How many lines run at once, of all batches together.
    pub concurrency: usize,
    /// No line begins while more calls than this, other than batches' own, are under way.
    pub yield_above: u32,
    /// How long a line waits for a provider that is rate limited, cooling or out of reach, before it fails.
    pub patience: Duration,
    /// How often a provider is asked how a batch that was handed to it stands.
    pub poll: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_size: 200 << 20,
            max_total: 10 << 30,
            retention: Duration::from_secs(30 * 86_400),
            max_lines: 50_000,
            concurrency: 8,
            yield_above: 32,
            patience: Duration::from_secs(3_600),
            poll: Duration::from_secs(30),
        }
    }
}

/// Whose files and batches are meant: those of a project, or everybody's.
#[derive(Clone, Copy, Debug)]
pub enum Scope<'a> {
    /// Those of a project.
    Project(&'a str),
    /// All: an admin looks.
    All,
}

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    /// The id that stands before it.
    pub after: Option<&'a str>,
    /// How many at most.
    pub limit: u32,
    /// Whether the oldest come first.
    pub ascending: bool,
}

/// All files and batches. Copies are the same.
#[derive(Clone)]
pub struct Batches(Arc<Inner>);

struct Inner {
    db: Db,
    settings: ArcSwap<Settings>,
    /// Told when a batch is made or to be cancelled.
    changes: watch::Sender<u64>,
    /// The files that are being written.
    open: Arc<Mutex<HashSet<String>>>,
}

impl Batches {
    /// What lies in `db`.
    #[must_use]
    pub fn new(db: Db, settings: Settings) -> Self {
        let (settings, changes) = (ArcSwap::from_pointee(settings), watch::Sender::new(0));
        Self(Arc::new(Inner { db, settings, changes, open: Arc::default() }))
    }

    /// The settings now.
    #[must_use]
    pub fn settings(&self) -> Settings {
        **self.0.settings.load()
    }

    /// Takes other settings, from now on.
    pub fn set(&self, settings: Settings) {
        self.0.settings.store(Arc::new(settings));
    }

    /// Changes when a batch is made or to be cancelled.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    fn changed(&self) {
        self.0.changes.send_modify(|n| *n = n.wrapping_add(1));
    }

    fn open_files(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file with this id.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::Database`].
    pub async fn file(&self, scope: Scope<'_>, id: &str, now: Timestamp) -> Result<File, Error> {
        let found = store::file(&self.0.db, id).await?.filter(|file| scope.holds(&file.project) && !file.is_over(now));
        found.ok_or_else(|| Error::NoSuchFile(shown(id)))
    }

    /// A part of the files, and whether more follow.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn files(
        &self,
        scope: Scope<'_>,
        purpose: Option<&str>,
        part: Part<'_>,
        now: Timestamp,
    ) -> Result<(Vec<File>, bool), Error> {
        let more = Part { limit: part.limit.saturating_add(1), ..part };
        let mut files = store::files(&self.0.db, scope, purpose, more, now).await?;
        let has_more = files.len() > part.limit as usize;
        files.truncate(part.limit as usize);
        Ok((files, has_more))
    }

    /// A piece of a file; `None` past its end.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn chunk(&self, file: &str, n: u64) -> Result<Option<Bytes>, Error> {
        Ok(store::chunk(&self.0.db, file, n).await?)
    }

    /// Some bytes of a file; fewer where it ends before.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn range(&self, file: &str, start: u64, length: usize) -> Result<Bytes, Error> {
        let size = CHUNK as u64;
        let mut skip = usize::try_from(start % size).unwrap_or(0);
        let mut read = BytesMut::with_capacity(length);
        let mut n = start / size;
        while read.len() < length
            && let Some(chunk) = self.chunk(file, n).await?
        {
            let end = chunk.len().min(skip + length - read.len());
            read.extend_from_slice(chunk.get(skip..end).unwrap_or_default());
            (skip, n) = (0, n + 1);
        }
        Ok(read.freeze())
    }

    /// Deletes a file and its bytes.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::InUse`] where a batch still reads it, [`Error::Database`].
    pub async fn delete_file(&self, scope: Scope<'_>, id: &str, now: Timestamp) -> Result<(), Error> {
        let file = self.file(scope, id, now).await?;
        if let Some(batch) = store::reader_of(&self.0.db, &file.id).await? {
            return Err(Error::InUse { file: file.id, batch });
        }
        Ok(self.purge(&file.id).await?)
    }

    /// Forgets a file, then its bytes a piece at a time.
    async fn purge(&self, id: &str) -> Result<(), crate::db::Error> {
        store::hide_file(&self.0.db, id).await?;
        while store::delete_chunks(&self.0.db, id, SWEEP).await? > 0 {
            tokio::task::yield_now().await;
        }
        store::delete_file(&self.0.db, id).await
    }

    /// Purges files that are over, and those that a crash or a caller who hung up left half written.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn purge_files(&self, now: Timestamp) -> Result<usize, Error> {
        let mut purged = 0;
        for id in store::purgeable(&self.0.db, now).await? {
            let is_open = self.open_files().contains(&id);
            // It may have been completed since it was listed, and is no rubbish then.
            if is_open || !store::claim_purgeable(&self.0.db, &id, now).await? {
                continue;
            }
            self.purge(&id).await?;
            purged += 1;
        }
        Ok(purged)
    }

    /// Makes a batch of a file.
    ///
    /// # Errors
    /// [`Error::NoSuchFile`], [`Error::Invalid`], [`Error::Database`].
    pub async fn create(&self, scope: Scope<'_>, new: NewBatch, now: Timestamp) -> Result<Batch, Error> {
        let batch = new.build(now)?;
        let file = match self.file(scope, &batch.input_file_id, now).await {
            Err(Error::NoSuchFile(id)) => return Err(Error::NoSuchInput(id)),
            other => other?,
        };
        if file.purpose != Purpose::Batch {
            let problem =
                format!("must be a file with the purpose `batch`; {} is a `{}`", file.id, file.purpose.text());
            return Err(Error::Invalid { field: "input_file_id", problem });
        }
        store::add_batch(&self.0.db, &batch).await?;
        self.changed();
        Ok(batch)
    }

    /// The batch with this id.
    ///
    /// # Errors
    /// [`Error::NoSuchBatch`], [`Error::Database`].
    pub async fn batch(&self, scope: Scope<'_>, id: &str) -> Result<Batch, Error> {
        let found = store::batch(&self.0.db, id).await?.filter(|batch| scope.holds(&batch.project));
        found.ok_or_else(|| Error::NoSuchBatch(shown(id)))
    }

    /// A part of the batches, newest first, and whether more follow.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn list(&self, scope: Scope<'_>, part: Part<'_>) -> Result<(Vec<Batch>, bool), Error> {
        let more = Part { limit: part.limit.saturating_add(1), ..part };
        let mut batches = store::batches(&self.0.db, scope, more).await?;
        let has_more = batches.len() > part.limit as usize;
        batches.truncate(part.limit as usize);
        Ok((batches, has_more))
    }

    /// Begins to cancel a batch; one that is being cancelled stays as it is.
    ///
    /// # Errors
    /// [`Error::NoSuchBatch`], [`Error::Ended`] where nothing is left to cancel, [`Error::Database`].
    pub async fn cancel(&self, scope: Scope<'_>, id: &str, now: Timestamp) -> Result<Batch, Error> {
        let before = self.batch(scope, id).await?;
        store::cancel(&self.0.db, &before.id, now).await?;
        self.changed();
        let after = self.batch(scope, id).await?;
        match after.status {
            Status::Cancelling | Status::Cancelled => Ok(after),
            status => Err(Error::Ended { id: after.id, status }),
        }
    }
}

/// What the background job does with batches.
impl Batches {
    /// The batches that have not ended, oldest first.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn active(&self) -> Result<Vec<Arc<str>>, Error> {
        Ok(store::active(&self.0.db).await?)
    }

    /// Adds lines to a batch that is validated. Gives the lines whose `custom_id` stands already.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn add_lines(&self, batch: &str, lines: &[NewLine]) -> Result<Vec<u64>, Error> {
        Ok(store::add_lines(&self.0.db, batch, lines).await?)
    }

    /// The lines after `n` without a result, in order.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn pending(&self, batch: &str, after: u64, limit: u32) -> Result<Vec<Pending>, Error> {
        Ok(store::pending(&self.0.db, batch, (after, limit), false).await?)
    }

    /// The same, of those that Fulcrum runs itself.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn pending_here(&self, batch: &str, after: u64, limit: u32) -> Result<Vec<Pending>, Error> {
        Ok(store::pending(&self.0.db, batch, (after, limit), true).await?)
    }

    /// The lines after `n` of a hand-over without a result, in order.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn pending_there(&self, batch: &str, handover: u64, after: u64) -> Result<Vec<Awaited>, Error> {
        Ok(store::awaited(&self.0.db, batch, handover, after).await?)
    }

    /// The line `n` of a hand-over, where it has no result.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn awaited(&self, batch: &str, handover: u64, n: u64) -> Result<Option<Awaited>, Error> {
        let found = store::awaited(&self.0.db, batch, handover, n.saturating_sub(1)).await?;
        Ok(found.into_iter().next().filter(|line| line.n == n))
    }

    /// Writes down that lines are to be handed over.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn hand(&self, batch: &str, lines: &[HandedLine]) -> Result<(), Error> {
        Ok(store::hand(&self.0.db, batch, lines).await?)
    }

    /// Takes lines back that were to be handed over: those of one hand-over, or all.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn take_back(&self, batch: &str, handover: Option<u64>) -> Result<(), Error> {
        while store::take_back(&self.0.db, batch, handover, SWEEP * 16).await? > 0 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The hand-overs of a batch, in order.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn handovers(&self, batch: &str) -> Result<Vec<Handover>, Error> {
        Ok(store::handovers(&self.0.db, batch).await?)
    }

    /// Keeps hand-overs as they stand now.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn keep_handovers(&self, batch: &str, handovers: &[Handover]) -> Result<(), Error> {
        Ok(store::keep_handovers(&self.0.db, batch, handovers).await?)
    }

    /// Forgets what was written for hand-overs that are no more.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn forget_content(&self, content_id: &str) -> Result<(), Error> {
        Ok(self.purge(content_id).await?)
    }

    /// Keeps the result of a line and counts it, once.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn keep(&self, batch: &str, stored: &Stored) -> Result<(), Error> {
        Ok(store::keep(&self.0.db, batch, stored).await?)
    }

    /// The next results after line `n` of those that were answered, or of those that failed.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn results(&self, batch: &str, answered: bool, after: u64) -> Result<Option<(u64, Bytes)>, Error> {
        Ok(store::next_result(&self.0.db, batch, answered, after).await?)
    }

    /// A validated batch begins to run.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn begin(&self, batch: &str, total: u64, now: Timestamp) -> Result<(), Error> {
        Ok(store::begin(&self.0.db, batch, total, now).await?)
    }

    /// A batch whose file is not good ends as failed.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn fail(&self, batch: &str, errors: &[Flaw], now: Timestamp) -> Result<(), Error> {
        store::fail(&self.0.db, batch, errors, now).await?;
        Ok(self.forget_lines(batch).await?)
    }

    /// A batch runs no more lines, and will end as `outcome`; `errors` say why where that is `failed`.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn finalize(&self, batch: &str, outcome: Status, errors: &[Flaw], now: Timestamp) -> Result<(), Error> {
        Ok(store::finalize(&self.0.db, batch, outcome, errors, now).await?)
    }

    /// A batch ends, and its files can be read from then on.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn end(
        &self,
        batch: &Batch,
        outcome: Status,
        files: [Option<Closed>; 2],
        now: Timestamp,
    ) -> Result<(), Error> {
        store::end(&self.0.db, batch, outcome, &files, now).await?;
        Ok(self.forget_lines(&batch.id).await?)
    }

    /// Deletes the lines and results of a batch, some at a time.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn forget_lines(&self, batch: &str) -> Result<(), crate::db::Error> {
        while store::delete_results(&self.0.db, batch, SWEEP).await? > 0 {
            tokio::task::yield_now().await;
        }
        for handover in store::handovers(&self.0.db, batch).await? {
            self.purge(&handover.content_id).await?;
        }
        store::delete_handovers(&self.0.db, batch).await?;
        while store::delete_lines(&self.0.db, batch, SWEEP * 16).await? > 0 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Deletes the lines that a crash left of batches that have ended.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn sweep(&self) -> Result<(), Error> {
        for batch in store::ended_with_lines(&self.0.db).await? {
            self.forget_lines(&batch).await?;
        }
        Ok(())
    }

    /// Forgets batches that ended before then.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn prune(&self, before: Timestamp) -> Result<(), Error> {
        Ok(store::prune(&self.0.db, before).await?)
    }
}

impl Scope<'_> {
    fn holds(self, project: &str) -> bool {
        match self {
            Self::Project(own) => own == project,
            Self::All => true,
        }
    }

    /// The project, where there is one.
    fn project(&self) -> Option<&str> {
        match self {
            Self::Project(own) => Some(own),
            Self::All => None,
        }
    }
}

/// A new id, which sorts by time.
fn new_id(prefix: &str) -> String {
    format!("{prefix}{}", uuid::Uuid::now_v7().simple())
}

/// What may be shown of an id that a caller sent.
fn shown(id: &str) -> String {
    id.chars().take(80).collect()
}
