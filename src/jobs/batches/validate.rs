//! Reads the file of a batch line by line, before any line runs.

use std::time::Duration;

use super::reader::{Found, Reader};
use super::shared::Shared;
use crate::batches::{Batch, BatchError, Error, NewLine, Scope};
use crate::types::now;

/// The most mistakes that are reported.
const MOST_ERRORS: usize = 100;

/// How many lines are written in one transaction, which holds the ledger up.
const AT_ONCE: usize = 100;

/// How many pieces of the file are read between two checks for whether the batch was cancelled.
const LOOK: u64 = 64;

/// How long a piece of the file may wait to be read.
const PATIENCE: Duration = Duration::from_secs(60);

struct Reading<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    errors: Vec<BatchError>,
    waiting: Vec<NewLine>,
    /// Lines that are not empty.
    total: u64,
}

/// Checks every line; the batch then runs or has failed.
pub(super) async fn validate(shared: &Shared, batch: &Batch) -> Result<(), Error> {
    let batches = shared.batches();
    // What an earlier try left.
    batches.forget_lines(&batch.id).await?;
    let mut reading = Reading { shared, batch, errors: Vec::new(), waiting: Vec::new(), total: 0 };
    if !reading.read().await? {
        return Ok(());
    }
    let Reading { errors, total, .. } = reading;
    if errors.is_empty() {
        batches.begin(&batch.id, total, now()).await
    } else {
        batches.fail(&batch.id, &errors, now()).await
    }
}

impl Reading<'_> {
    /// Reads the whole file; returns whether the batch may go on.
    async fn read(&mut self) -> Result<bool, Error> {
        let (batches, pool) = (self.shared.batches(), &self.shared.work.pool);
        let most = batches.settings().max_lines;
        let mut reader = Reader::new(self.batch.endpoint.as_str().into(), most, self.shared.work.longest_line);
        let mut changes = batches.changes();
        for n in 0.. {
            if self.shared.stop.is_cancelled() {
                return Ok(false);
            }
            if n % LOOK == 0 && changes.has_changed().unwrap_or(false) {
                changes.borrow_and_update();
                let now = batches.batch(Scope::All, &self.batch.id).await?;
                if now.status != self.batch.status {
                    return Ok(false);
                }
            }
            let Some(chunk) = batches.chunk(&self.batch.input_file_id, n).await? else { break };
            let read = move || {
                let found = reader.piece(&chunk);
                (reader, found)
            };
            let found;
            (reader, found) = pool.run(PATIENCE, read).await?;
            if self.take_all(found).await? {
                return Ok(true);
            }
        }
        let last = reader.rest();
        self.total = reader.total;
        match last {
            Some(Err(error)) if error.code == "line_too_long" => {
                self.errors.push(error);
                return Ok(true);
            }
            Some(found) => self.take(found).await?,
            None => {}
        }
        self.write().await?;
        if self.total == 0 && self.errors.is_empty() {
            self.errors.push(BatchError::new("empty_file", "The input file is empty: it needs one line or more."));
        }
        Ok(true)
    }

    /// Takes the lines of a piece; returns whether so much is wrong that the rest need not be read.
    async fn take_all(&mut self, found: Found) -> Result<bool, Error> {
        for found in found {
            self.take(found).await?;
            let is_last = |error: &BatchError| ["too_many_lines", "line_too_long"].contains(&error.code.as_str());
            if self.errors.len() >= MOST_ERRORS || self.errors.last().is_some_and(is_last) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn take(&mut self, found: Result<NewLine, BatchError>) -> Result<(), Error> {
        match found {
            Ok(line) => self.waiting.push(line),
            Err(error) => self.errors.push(error),
        }
        if self.waiting.len() >= AT_ONCE { self.write().await } else { Ok(()) }
    }

    async fn write(&mut self) -> Result<(), Error> {
        let lines = std::mem::take(&mut self.waiting);
        for n in self.shared.batches().add_lines(&self.batch.id, &lines).await? {
            let custom_id = lines.iter().find(|line| line.n == n).map_or("", |line| &line.custom_id);
            let shown: String = custom_id.chars().take(80).collect();
            let message = format!("The custom_id `{shown}` stands in an earlier line already; each must be unique.");
            let error = BatchError::new("duplicate_custom_id", message).at("custom_id");
            self.errors.push(BatchError { line: Some(n), ..error });
        }
        self.errors.sort_by_key(|error| error.line);
        self.errors.truncate(MOST_ERRORS);
        Ok(())
    }
}
