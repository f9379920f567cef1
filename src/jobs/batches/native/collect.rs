//! Fetches the results of a provider's batch: each is translated into its caller's dialect, settled and stored.

use std::sync::Arc;

use super::super::call::LineResult;
use super::follow::{FETCHING, Follow, line_number};
use crate::batches::{Awaited, Error, Handover, Lines, Piece, TooLong, Verdict};
use crate::chat::Usage;
use crate::gateway::{Body, HandedOver, LineAnswer, Owner};
use crate::types::RequestId;
use crate::upstream::{BatchApiCall, LineOutcome, Payload};
use crate::wire::endpoint::Endpoint;

/// The longest line of results.
const LONGEST: usize = 96 << 20;

/// Whether a line has its result now, or must be asked for again.
#[derive(PartialEq, Eq)]
enum Taken {
    Yes,
    Later,
}

impl Follow<'_> {
    /// Takes the results of a batch that has ended. What breaks off is fetched again; lines that have theirs stay as they are.
    pub(super) async fn collect(&self, one: &mut Handover, id: &str, files: &[String]) -> Result<(), Error> {
        let results = [BatchApiCall::Results(id)];
        let files_of: Vec<_> = files.iter().map(|file| BatchApiCall::ReadFile(file)).collect();
        let calls: &[BatchApiCall<'_>] = if self.api.file.is_some() { &files_of } else { &results };
        for call in calls {
            if self.fetch(one, *call).await? == Taken::Later {
                return Ok(());
            }
        }
        if !self.ending {
            self.fail_rest(one, "batch_expired", "The provider ended the batch without a result of this line.").await?;
        }
        self.clean_up(one, files).await;
        self.end(one).await
    }

    async fn fetch(&self, one: &Handover, call: BatchApiCall<'_>) -> Result<Taken, Error> {
        let mut answer = match self.client.call_batch_api(call, Payload::none(FETCHING)).await {
            Ok(answer) => answer,
            Err(failure) => {
                tracing::info!(batch = %self.batch.id, ?failure, "the results of a batch cannot be fetched yet");
                return Ok(Taken::Later);
            }
        };
        let mut lines = Lines::new(LONGEST);
        loop {
            let piece = match answer.piece().await {
                Ok(piece) => piece,
                Err(failure) => {
                    tracing::info!(batch = %self.batch.id, ?failure, "the results of a batch broke off");
                    return Ok(Taken::Later);
                }
            };
            let ended = piece.is_none();
            lines.push(&piece.unwrap_or_default());
            while let Some(line) = next_line(&mut lines, ended) {
                let Ok(line) = line else {
                    tracing::warn!(batch = %self.batch.id, "a line of a batch's results is longer than any answer may be");
                    return Ok(Taken::Yes);
                };
                if self.take(one, &line).await? == Taken::Later {
                    return Ok(Taken::Later);
                }
            }
            if ended {
                return Ok(Taken::Yes);
            }
        }
    }

    /// Takes one line of the results.
    async fn take(&self, one: &Handover, line: &Piece) -> Result<Taken, Error> {
        if line.text.trim_ascii().is_empty() {
            return Ok(Taken::Yes);
        }
        let read = (self.api.result)(&line.text);
        let named = read.and_then(|(id, outcome)| Some((line_number(&self.batch.id, &id)?, outcome)));
        let Some((n, outcome)) = named else {
            tracing::warn!(batch = %self.batch.id, "a line of a batch's results is of no line of the batch");
            return Ok(Taken::Yes);
        };
        let batches = self.shared.batches();
        let Some(awaited) = batches.awaited(&self.batch.id, one.n, n).await? else { return Ok(Taken::Yes) };
        let result = match outcome {
            LineOutcome::Answered { status, body } => {
                match self.settle(&awaited, &LineAnswer { status, body }).await? {
                    Some(result) => result,
                    None => return Ok(Taken::Later),
                }
            }
            // The end of the provider's batch has the reason.
            LineOutcome::NotRun { .. } if self.ending => return Ok(Taken::Yes),
            LineOutcome::NotRun { expired, message } => {
                let code = if expired { "batch_expired" } else { "batch_cancelled" };
                not_run(code, &message)
            }
        };
        result.store(self.shared, &self.batch.id, awaited.n, &awaited.custom_id).await;
        Ok(Taken::Yes)
    }

    /// Writes the row of a line; `None` where the ledger takes none now.
    async fn settle(&self, line: &Awaited, answer: &LineAnswer) -> Result<Option<LineResult>, Error> {
        let Ok(handed) = serde_json::from_str::<HandedOver>(&line.handed) else {
            return Ok(Some(not_run("internal_error", "what was stored of this line cannot be read")));
        };
        let id: RequestId = handed.id.parse().unwrap_or_default();
        let known = crate::usage::request(&self.shared.work.db, id).await;
        let Ok(known) = known else { return Ok(None) };
        let settled = self.shared.work.gateway.settle_line(&self.owner(), &handed, answer, known.is_some()).await;
        let (reply, usage) = match settled {
            Ok(settled) => settled,
            Err(error) => {
                tracing::warn!(batch = %self.batch.id, %error, "the row of a line cannot be written yet: {error}");
                return Ok(None);
            }
        };
        let Body::Whole(body) = reply.body else {
            return Ok(Some(not_run("internal_error", "the answer is a stream")));
        };
        let verdict = Verdict::Answered { status: reply.head.status, request_id: id.to_string(), body };
        Ok(Some(LineResult { verdict, usage }))
    }

    fn owner(&self) -> Owner {
        let mut tags: Vec<(Arc<str>, Arc<str>)> = vec![("batch".into(), self.batch.id.clone())];
        if let Ok(key) = self.shared.work.keys.get(&self.batch.key_id) {
            let own = key.tags.iter().filter(|(name, _)| *name != "batch");
            tags.extend(own.map(|(name, value)| (name.as_str().into(), value.as_str().into())));
        }
        let endpoint = Endpoint::at(&self.batch.endpoint).unwrap_or_default();
        Owner { endpoint, project: self.batch.project.clone(), key_id: self.batch.key_id.clone(), tags }
    }

    /// Fails the lines of a hand-over that have no result.
    pub(super) async fn fail_rest(&self, one: &Handover, code: &'static str, message: &str) -> Result<(), Error> {
        let mut last = 0;
        loop {
            let lines = self.shared.batches().pending_there(&self.batch.id, one.n, last).await?;
            let Some(end) = lines.last().map(|line| line.n) else { return Ok(()) };
            for line in lines {
                not_run(code, message).store(self.shared, &self.batch.id, line.n, &line.custom_id).await;
            }
            last = end;
        }
    }
}

fn not_run(code: &'static str, message: &str) -> LineResult {
    LineResult { verdict: Verdict::NotRun { code, message: message.to_owned() }, usage: Usage::default() }
}

/// The next whole line; where the results ended, also what stands after the last.
fn next_line(lines: &mut Lines, ended: bool) -> Option<Result<Piece, TooLong>> {
    let rest = |lines: &mut Lines| if ended { lines.rest().transpose() } else { None };
    lines.line().transpose().or_else(|| rest(lines))
}
