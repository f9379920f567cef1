//! Finds out whether a batch that was about to be sent arrived: the process, or the connection, broke in between.

use std::time::Duration;

use super::follow::{FETCHING, Follow, QUESTION, line_number};
use crate::batches::{Error, Handover, Stage};
use crate::types::{Timestamp, now};
use crate::upstream::{BatchApiCall, ListedBatch, ListedBatches, Payload};

/// How many parts of the provider's list are read.
const PARTS: usize = 10;

/// How far the provider's clock and ours may lie apart.
const SKEW: Duration = Duration::from_secs(120);

/// What is known of a batch that may have arrived.
enum Found {
    There(String),
    NotThere,
    /// The answer is not known yet.
    Unknown,
}

impl Follow<'_> {
    /// Looks for the batch at the provider. A batch that is not there is submitted again.
    pub(super) async fn look_up(&self, one: &mut Handover) -> Result<(), Error> {
        let since = one.submitted_at.unwrap_or(self.batch.created_at);
        match self.find(one, since).await? {
            Found::There(id) => {
                tracing::info!(batch = %self.batch.id, remote = %id, "a batch that was handed over is found again");
                (one.stage, one.remote_id) = (Stage::Running, Some(id));
                self.save(one).await
            }
            // A provider's list may lag behind.
            Found::NotThere if since.plus(self.shared.batches().settings().poll * 2) <= now() => {
                one.stage = Stage::Planned;
                self.save(one).await
            }
            Found::NotThere | Found::Unknown => Ok(()),
        }
    }

    async fn find(&self, one: &Handover, since: Timestamp) -> Result<Found, Error> {
        let mut after: Option<String> = None;
        for _ in 0..PARTS {
            let list = self.ask(BatchApiCall::Batches(after.as_deref()), Payload::none(QUESTION)).await;
            let listed = match list {
                Ok(body) => (self.api.list)(&body),
                // Without an answer the batch is not sent again, since the provider may have it.
                Err(_) => None,
            };
            let Some(ListedBatches { batches, more }) = listed else { return Ok(Found::Unknown) };
            for seen in &batches {
                match self.is_ours(one, seen, since).await? {
                    Some(true) => return Ok(Found::There(seen.id.clone())),
                    Some(false) => {}
                    None => return Ok(Found::Unknown),
                }
            }
            after = batches.last().map(|seen| seen.id.clone());
            if !more || after.is_none() {
                break;
            }
        }
        Ok(Found::NotThere)
    }

    /// Whether a batch of the provider's is the one that was sent; `None` where that is not known yet.
    async fn is_ours(&self, one: &Handover, seen: &ListedBatch, since: Timestamp) -> Result<Option<bool>, Error> {
        if let Some((batch, n)) = &seen.mark {
            return Ok(Some(**batch == *self.batch.id && *n == one.n));
        }
        let (Some(made_at), Some(lines)) = (seen.made_at, seen.lines) else { return Ok(Some(false)) };
        if lines != one.lines || made_at.plus(SKEW) < since {
            return Ok(Some(false));
        }
        let others = self.shared.batches().handovers(&self.batch.id).await?;
        if others.iter().any(|other| other.remote_id.as_deref() == Some(&seen.id)) {
            return Ok(Some(false));
        }
        // The batch carries no mark, but its results do, once it has ended.
        Ok(self.first_result(&seen.id).await)
    }

    async fn first_result(&self, id: &str) -> Option<bool> {
        let mut answer = self.client.call_batch_api(BatchApiCall::Results(id), Payload::none(FETCHING)).await.ok()?;
        let mut read = Vec::new();
        while !read.contains(&b'\n')
            && let Some(piece) = answer.piece().await.ok()?
        {
            read.extend_from_slice(&piece);
        }
        let line = read.split(|byte| *byte == b'\n').next()?;
        let (custom_id, _) = (self.api.result)(line)?;
        Some(line_number(&self.batch.id, &custom_id).is_some())
    }
}
