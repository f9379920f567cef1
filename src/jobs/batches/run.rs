//! Runs the lines of a batch, some at a time, until all have a result or the batch must end before.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::ahead::Ahead;
use super::call::{LineResult, call};
use super::native;
use super::places::Place;
use super::shared::Shared;
use crate::batches::{Batch, BatchError, Error, Pending, Scope, Status, read_line};
use crate::keys::Role;
use crate::types::now;

/// How often the batch is checked for whether it may go on, without a reported change.
const LOOK: Duration = Duration::from_secs(1);

/// The shortest and the longest wait for a key's requests a minute: the limit may be raised meanwhile.
const SHORTEST_WAIT: Duration = Duration::from_millis(5);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// Why no more lines begin.
enum Why {
    /// All have.
    Done,
    /// The batch's turn ends, or the process does; another turn goes on.
    Stop,
    /// The batch was cancelled, by its row.
    Cancelled,
    /// The batch's window is over.
    Expired,
    /// The batch's key may call no more.
    Unwelcome(String),
}

/// Runs what is left of a batch.
///
/// Where `turn` ends, no more lines begin, and the batch goes on when its turn comes again.
pub(super) async fn run(shared: &Arc<Shared>, batch: &Arc<Batch>, turn: &CancellationToken) -> Result<(), Error> {
    native::hand_over(shared, batch).await?;
    let halt = turn.child_token();
    let mut lines = JoinSet::new();
    let ended = {
        let mut ends = std::pin::pin!(must_end(shared, batch, turn));
        let begun = begin_lines(shared, batch, &halt, &mut lines);
        let all_begun = async { tokio::try_join!(begun, native::follow(shared, batch, false)) };
        let begun = tokio::select! {
            why = &mut ends => why,
            begun = all_begun => begun.map(|((), ())| Why::Done),
        };
        match begun {
            Ok(Why::Done) => tokio::select! {
                why = &mut ends => why,
                () = all_ended(&mut lines) => Ok(Why::Done),
            },
            other => other,
        }
    };
    halt.cancel();
    all_ended(&mut lines).await;
    let batches = shared.batches();
    match ended? {
        // A line whose result could not be stored has none: then the batch is run again.
        Why::Done if batches.pending(&batch.id, 0, 1).await?.is_empty() => {
            batches.finalize(&batch.id, Status::Completed, &[], now()).await
        }
        Why::Done | Why::Stop | Why::Cancelled => Ok(()),
        Why::Expired => batches.finalize(&batch.id, Status::Expired, &[], now()).await,
        Why::Unwelcome(reason) => {
            let error = BatchError::new("invalid_api_key", reason);
            batches.finalize(&batch.id, Status::Failed, &[error], now()).await
        }
    }
}

/// Begins line after line, as places come free.
async fn begin_lines(
    shared: &Arc<Shared>,
    batch: &Arc<Batch>,
    halt: &CancellationToken,
    lines: &mut JoinSet<()>,
) -> Result<(), Error> {
    let mut ahead = Ahead::new(shared, batch);
    while let Some((line, text)) = ahead.next().await? {
        admitted(shared, batch).await;
        let place = a_place(shared, batch).await;
        let one = One { shared: shared.clone(), batch: batch.clone(), line, text, halt: halt.clone() };
        lines.spawn(one.run(place));
        while lines.try_join_next().is_some() {}
    }
    Ok(())
}

/// Counts a line among the requests a minute of the batch's key, as soon as these leave room for it.
async fn admitted(shared: &Shared, batch: &Batch) {
    // A key that may call no more ends the batch elsewhere.
    while let Ok(key) = shared.work.keys.holder(&batch.key_id, now())
        && let Err(throttled) = shared.work.keys.admit(&key, now())
    {
        sleep(throttled.retry_after.clamp(SHORTEST_WAIT, LONGEST_WAIT)).await;
    }
}

/// Waits for a place among the lines, and until calls of waiting callers leave room.
async fn a_place(shared: &Shared, batch: &Batch) -> Place {
    let place = shared.places.take(&batch.project, &batch.key_id).await;
    while shared.awaited_calls() > i64::from(shared.batches().settings().yield_above) {
        sleep(Duration::from_millis(50)).await;
    }
    place
}

async fn all_ended(lines: &mut JoinSet<()>) {
    while lines.join_next().await.is_some() {}
}

/// Waits until the batch must end before its lines have.
async fn must_end(shared: &Shared, batch: &Batch, turn: &CancellationToken) -> Result<Why, Error> {
    let mut changes: watch::Receiver<u64> = shared.batches().changes();
    let (mut changed, mut expires_at) = (true, batch.expires_at);
    loop {
        if turn.is_cancelled() {
            return Ok(Why::Stop);
        }
        if changed {
            let batch = shared.batches().batch(Scope::All, &batch.id).await?;
            if batch.status != Status::InProgress {
                return Ok(Why::Cancelled);
            }
            expires_at = batch.expires_at;
        }
        if expires_at <= now() {
            return Ok(Why::Expired);
        }
        if let Some(reason) = unwelcome(shared, batch) {
            return Ok(Why::Unwelcome(reason));
        }
        changed = tokio::select! {
            change = changes.changed() => change.is_ok(),
            () = turn.cancelled() => false,
            () = sleep(LOOK) => false,
        };
    }
}

/// Why the batch's key may call no more, where that is so.
fn unwelcome(shared: &Shared, batch: &Batch) -> Option<String> {
    match shared.work.keys.holder(&batch.key_id, now()) {
        Ok(key) if key.allows(Role::App) => None,
        Ok(_) => Some("The role of the key that made this batch may no longer call models.".to_owned()),
        Err(error) => Some(format!("The key that made this batch may call no more: {error}")),
    }
}

/// A line that runs.
struct One {
    shared: Arc<Shared>,
    batch: Arc<Batch>,
    line: Pending,
    text: Bytes,
    halt: CancellationToken,
}

impl One {
    async fn run(self, place: Place) {
        let Self { shared, batch, line, text, halt } = self;
        let _under = shared.work.gateway.parts().metrics.batch_line_begins();
        let result = match read_line(&text, &batch.endpoint) {
            Ok(read) => call(&shared, &batch, read.body, &halt).await,
            // Validation found the line good, so its file has changed since.
            Err(error) => LineResult::failed("invalid_request", error.message),
        };
        if let Some(result) = result {
            result.store(&shared, &batch.id, line.n, &line.custom_id).await;
        }
        // The place is released only when the result is stored: after a kill, at most as many lines run again as have a place.
        drop(place);
    }
}
