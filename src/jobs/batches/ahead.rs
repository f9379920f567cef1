//! Reads lines of a batch ahead of those that run.

use std::collections::VecDeque;

use bytes::Bytes;

use super::shared::Shared;
use crate::batches::{Batch, Error, Pending};

/// How many lines, and about how many bytes of them, are read ahead.
const AHEAD: u32 = 64;
const AHEAD_BYTES: u64 = 1 << 20;

/// The lines of a batch without a result, in order, a few read ahead.
pub(super) struct Ahead<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    last: u64,
    read: VecDeque<(Pending, Bytes)>,
}

impl<'a> Ahead<'a> {
    pub(super) fn new(shared: &'a Shared, batch: &'a Batch) -> Self {
        Self { shared, batch, last: 0, read: VecDeque::new() }
    }

    pub(super) async fn next(&mut self) -> Result<Option<(Pending, Bytes)>, Error> {
        if self.read.is_empty() {
            self.fill().await?;
        }
        Ok(self.read.pop_front())
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let batches = self.shared.batches();
        let mut lines = batches.pending_here(&self.batch.id, self.last, AHEAD).await?;
        let Some(first) = lines.first().map(|line| line.start) else { return Ok(()) };
        let fits = lines.iter().take_while(|line| line.start + line.length <= first + AHEAD_BYTES).count();
        lines.truncate(fits.max(1));
        let Some(last) = lines.last() else { return Ok(()) };
        self.last = last.n;
        let length = usize::try_from(last.start + last.length - first).unwrap_or(usize::MAX);
        let text = batches.range(&self.batch.input_file_id, first, length).await?;
        for line in lines {
            let place = |at: u64| usize::try_from(at - first).unwrap_or(usize::MAX).min(text.len());
            let text = text.slice(place(line.start)..place(line.start + line.length));
            self.read.push_back((line, text));
        }
        Ok(())
    }
}
