//! All files and batches: what the API does with batches.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::batch::{Batch, NewBatch};
use super::error::Error;
use super::file::Purpose;
use super::id::shown;
use super::scope::{Part, Scope};
use super::settings::Settings;
use super::status::Status;
use super::store;
use crate::db::Db;
use crate::types::Timestamp;

/// All files and batches. Copies are the same.
#[derive(Clone)]
pub struct Batches(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) db: Db,
    settings: ArcSwap<Settings>,
    /// Changes when a batch is made or is to be cancelled.
    changes: watch::Sender<u64>,
    /// The files that are being written.
    pub(super) open: Arc<Mutex<HashSet<String>>>,
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

    pub(super) fn open_files(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Begins to cancel a batch; a batch that is being cancelled does not change.
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
