//! Writes a file piece by piece, never whole in memory.

use std::time::Duration;

use bytes::BytesMut;

use super::closed::{Closed, Open};
use super::error::Error;
use super::file::{CHUNK, File, Purpose};
use super::id::new_id;
use super::registry::Batches;
use super::store;
use crate::types::Timestamp;

/// The longest name of a file, in characters.
const LONGEST_NAME: usize = 255;

/// A file that is being written. A file that is dropped before its end is purged later.
pub struct Upload {
    batches: Batches,
    file: File,
    held: BytesMut,
    chunks: u64,
    /// The most bytes of the file; `None` for files that Fulcrum writes.
    limit: Option<u64>,
    _open: Open,
}

impl Batches {
    /// Begins a caller's file.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Database`].
    pub async fn upload(&self, project: &str, key_id: &str, filename: &str, now: Timestamp) -> Result<Upload, Error> {
        let settings = self.settings();
        if store::bytes_of(&self.0.db, project).await? >= settings.max_total {
            return Err(Error::Full(settings.max_total));
        }
        let file = File {
            id: new_id("file-").into(),
            project: project.into(),
            key_id: key_id.into(),
            purpose: Purpose::Batch,
            filename: clean(filename),
            bytes: 0,
            created_at: now,
            expires_at: Some(now.plus(settings.retention)),
        };
        self.write(file, Some(settings.max_size)).await
    }

    /// Begins a file that a batch writes.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn output(&self, batch: &super::Batch, what: &str, now: Timestamp) -> Result<Upload, Error> {
        let life = batch.output_expires_after.unwrap_or(self.settings().retention);
        let file = File {
            id: new_id("file-").into(),
            project: batch.project.clone(),
            key_id: batch.key_id.clone(),
            purpose: Purpose::BatchOutput,
            filename: format!("{}_{what}.jsonl", batch.id),
            bytes: 0,
            created_at: now,
            expires_at: Some(now.plus(life)),
        };
        self.write(file, None).await
    }

    async fn write(&self, file: File, limit: Option<u64>) -> Result<Upload, Error> {
        let id = file.id.to_string();
        self.open_files().insert(id.clone());
        let open = Open { files: self.0.open.clone(), id };
        store::add_file(&self.0.db, &file).await?;
        Ok(Upload { batches: self.clone(), file, held: BytesMut::new(), chunks: 0, limit, _open: open })
    }
}

impl Upload {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Error::TooLarge`], [`Error::Database`].
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.file.bytes += bytes.len() as u64;
        if let Some(limit) = self.limit.filter(|limit| self.file.bytes > *limit) {
            return Err(Error::TooLarge(limit));
        }
        self.held.extend_from_slice(bytes);
        while self.held.len() >= CHUNK {
            self.flush(CHUNK).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, length: usize) -> Result<(), Error> {
        let chunk = self.held.split_to(length);
        let db = &self.batches.0.db;
        if self.limit.is_some() {
            // Other uploads of the project may be under way: each piece is counted with them in one transaction.
            let most = self.batches.settings().max_total;
            if !store::add_counted_chunk(db, &self.file, (self.chunks, &chunk), most).await? {
                return Err(Error::Full(most));
            }
        } else {
            store::add_chunk(db, &self.file.id, self.chunks, &chunk).await?;
        }
        self.chunks += 1;
        Ok(())
    }

    /// The file's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.file.id
    }

    /// Writes the bytes that were pushed; no more may be pushed afterwards.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn flush_all(&mut self) -> Result<(), Error> {
        self.last().await
    }

    /// Writes what is left. The file is not seen yet.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn close(mut self) -> Result<Closed, Error> {
        self.last().await?;
        Ok(Closed::of(self.file.id, self.file.bytes, self._open))
    }

    async fn last(&mut self) -> Result<(), Error> {
        if self.held.is_empty() { Ok(()) } else { self.flush(self.held.len()).await }
    }

    /// Ends the file, which callers see afterwards.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Database`].
    pub async fn finish(mut self, life: Option<Duration>) -> Result<File, Error> {
        if let Err(error) = self.last().await {
            self.discard().await;
            return Err(error);
        }
        if let Some(life) = life {
            self.file.expires_at = Some(self.file.created_at.plus(life));
        }
        store::complete_file(&self.batches.0.db, &self.file).await?;
        Ok(self.file)
    }

    /// Takes back what was written. What cannot be taken back now is purged later.
    pub async fn discard(self) {
        if let Err(error) = self.batches.purge(&self.file.id).await {
            tracing::warn!(%error, "an unfinished file cannot be purged yet: {error}");
        }
    }
}

/// A file's name as it is shown: without folders and control characters, and cut short.
fn clean(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let clean: String = last.chars().filter(|letter| !letter.is_control()).take(LONGEST_NAME).collect();
    if clean.trim().is_empty() { "upload.jsonl".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn a_name_keeps_no_folder_and_no_control_character() {
        for (name, shown) in [
            ("input.jsonl", "input.jsonl"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\in.jsonl", "in.jsonl"),
            ("a\r\nb", "ab"),
            ("", "upload.jsonl"),
            ("/", "upload.jsonl"),
        ] {
            assert_eq!(clean(name), shown);
        }
        assert_eq!(clean(&"ü".repeat(300)).chars().count(), 255);
    }
}
