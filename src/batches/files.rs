//! Files: found, read in pieces, deleted.

use bytes::{Bytes, BytesMut};

use super::error::Error;
use super::file::{CHUNK, File};
use super::id::shown;
use super::registry::Batches;
use super::scope::{Part, Scope};
use super::store;
use crate::types::Timestamp;

/// How many pieces one statement deletes, so that none holds the database for long.
const SWEEP: i64 = 64;

impl Batches {
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

    /// Some bytes of a file; fewer where the file ends before.
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
    /// [`Error::NoSuchFile`], [`Error::InUse`] where a batch still reads the file, [`Error::Database`].
    pub async fn delete_file(&self, scope: Scope<'_>, id: &str, now: Timestamp) -> Result<(), Error> {
        let file = self.file(scope, id, now).await?;
        if let Some(batch) = store::reader_of(&self.0.db, &file.id).await? {
            return Err(Error::InUse { file: file.id, batch });
        }
        Ok(self.purge(&file.id).await?)
    }

    /// Forgets a file, then its bytes a piece at a time.
    pub(super) async fn purge(&self, id: &str) -> Result<(), crate::db::Error> {
        store::hide_file(&self.0.db, id).await?;
        while store::delete_chunks(&self.0.db, id, SWEEP).await? > 0 {
            tokio::task::yield_now().await;
        }
        store::delete_file(&self.0.db, id).await
    }

    /// Purges files that are over, and those that a crash or a caller that hung up left half written.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn purge_files(&self, now: Timestamp) -> Result<usize, Error> {
        let mut purged = 0;
        for id in store::purgeable(&self.0.db, now).await? {
            let is_open = self.open_files().contains(&id);
            // The file may have been completed since it was listed, and must stay then.
            if is_open || !store::claim_purgeable(&self.0.db, &id, now).await? {
                continue;
            }
            self.purge(&id).await?;
            purged += 1;
        }
        Ok(purged)
    }
}
