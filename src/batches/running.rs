//! What the background job does with batches: their lines, results and hand-overs, and how they end.

use bytes::Bytes;

use super::batch::{Batch, BatchError};
use super::closed::Closed;
use super::error::Error;
use super::handover::{Awaited, HandedLine, Handover};
use super::registry::Batches;
use super::status::Status;
use super::store::{self, ActiveBatch, NewLine, Pending, Stored};
use crate::types::Timestamp;

/// How many results one statement deletes, so that none holds the database for long.
const SWEEP: i64 = 64;

impl Batches {
    /// The batches that have not ended: the first of each project and key, then the second of each, and so on.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn active(&self) -> Result<Vec<ActiveBatch>, Error> {
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

    /// The line `n` of a hand-over, where the line has no result.
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

    /// Stores the result of a line and counts the line, once.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn store_result(&self, batch: &str, stored: &Stored) -> Result<(), Error> {
        Ok(store::store_result(&self.0.db, batch, stored).await?)
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
    pub async fn fail(&self, batch: &str, errors: &[BatchError], now: Timestamp) -> Result<(), Error> {
        store::fail(&self.0.db, batch, errors, now).await?;
        Ok(self.forget_lines(batch).await?)
    }

    /// A batch runs no more lines, and will end as `outcome`; `errors` say why where that is `failed`.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn finalize(
        &self,
        batch: &str,
        outcome: Status,
        errors: &[BatchError],
        now: Timestamp,
    ) -> Result<(), Error> {
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
