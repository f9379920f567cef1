//! Writes the files of a batch that runs no more lines, and ends it.

use super::native;
use super::shared::Shared;
use crate::batches::{Batch, Closed, Error, Status, Upload, Verdict, result};
use crate::types::now;

/// How many lines are read at once.
const AT_ONCE: u32 = 500;

/// Ends a batch: its answers and its errors become files, and every line that never ran stands among the errors.
pub(super) async fn finalize(shared: &Shared, batch: &Batch) -> Result<(), Error> {
    // Lines that a provider still has are cancelled first, and answers until then are fetched.
    tokio::select! {
        ended = native::follow(shared, batch, true) => ended?,
        () = shared.stop.cancelled() => return Ok(()),
    }
    let outcome = match batch.status {
        Status::Cancelling => Status::Cancelled,
        _ => batch.outcome.unwrap_or(Status::Completed),
    };
    let (output, errors) = (write(shared, batch, None).await?, write(shared, batch, Some(outcome)).await?);
    if shared.stop.is_cancelled() {
        return Ok(());
    }
    shared.batches().end(batch, outcome, [output, errors], now()).await
}

/// Writes the file of answers, or with an `outcome` the file of errors; `None` where that would be empty.
async fn write(shared: &Shared, batch: &Batch, errors: Option<Status>) -> Result<Option<Closed>, Error> {
    let mut file = Out { shared, batch, what: if errors.is_some() { "error" } else { "output" }, upload: None };
    let mut last = 0;
    while let Some((n, line)) = shared.batches().results(&batch.id, errors.is_none(), last).await? {
        file.push(&line).await?;
        last = n;
        if shared.stop.is_cancelled() {
            return Ok(None);
        }
    }
    // A batch that was cancelled before its lines were counted has none.
    if let Some(outcome) = errors.filter(|_| batch.counts.total > 0) {
        file.push_unrun(outcome).await?;
    }
    match file.upload {
        Some(upload) => upload.close().await.map(Some),
        None => Ok(None),
    }
}

struct Out<'a> {
    shared: &'a Shared,
    batch: &'a Batch,
    what: &'static str,
    upload: Option<Upload>,
}

impl Out<'_> {
    async fn push(&mut self, line: &[u8]) -> Result<(), Error> {
        let upload = match &mut self.upload {
            Some(upload) => upload,
            None => self.upload.insert(self.shared.batches().output(self.batch, self.what, now()).await?),
        };
        upload.push(line).await
    }

    async fn push_unrun(&mut self, outcome: Status) -> Result<(), Error> {
        let verdict = unrun(self.batch, outcome);
        let mut last = 0;
        loop {
            let lines = self.shared.batches().pending(&self.batch.id, last, AT_ONCE).await?;
            let Some(end) = lines.last().map(|line| line.n) else { return Ok(()) };
            for line in lines {
                self.push(&result(&self.batch.id, line.n, &line.custom_id, &verdict)).await?;
            }
            last = end;
        }
    }
}

/// The error of a line that never ran.
fn unrun(batch: &Batch, outcome: Status) -> Verdict {
    let (code, message) = match outcome {
        Status::Expired => {
            ("batch_expired", "This request could not be executed before the completion window expired.".to_owned())
        }
        Status::Cancelled => ("batch_cancelled", "This request was not executed: the batch was cancelled.".to_owned()),
        _ => {
            let reason = batch.errors.first().map_or("", |error| &error.message);
            ("batch_failed", format!("This request was not executed: the batch failed. {reason}").trim().to_owned())
        }
    };
    Verdict::NotRun { code, message }
}
