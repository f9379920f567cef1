//! Takes up the batches that have not ended, one task each, and goes on where a restart left them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::places::Places;
use super::shared::{Shared, Work};
use super::turns::{Turn, next, resting};
use super::{finalize, run, validate};
use crate::batches::{ActiveBatch, Error, Scope, Status};
use crate::types::now;

/// How often the runner looks for work without a reported change.
const LOOK: Duration = Duration::from_secs(10);

/// How long a batch rests after its database failed.
const REST: Duration = Duration::from_secs(1);

/// Runs batches until it is stopped.
pub struct Runner {
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Runner {
    /// Begins to run what has not ended.
    #[must_use]
    pub fn start(work: Work) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let places = Places::new(work.batches.settings().concurrency);
        let shared = Arc::new(Shared { work, places, calls: AtomicI64::new(0), stop: stop.clone() });
        tasks.spawn(supervise(shared));
        tasks.close();
        Self { tasks, stop }
    }

    /// Begins no more lines from now on.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the running lines have ended, at most until `limit`; returns whether they have.
    pub async fn ended(&self, limit: Instant) -> bool {
        timeout_at(limit, self.tasks.wait()).await.is_ok()
    }
}

/// Takes up batches as they come, and purges files whose time is over.
async fn supervise(shared: Arc<Shared>) {
    let mut changes = shared.batches().changes();
    let mut running: HashMap<Id, Turn> = HashMap::new();
    let mut tasks = JoinSet::new();
    if let Err(error) = shared.batches().sweep().await {
        tracing::warn!(%error, "what ended batches left cannot be deleted yet: {error}");
    }
    while !shared.stop.is_cancelled() {
        changes.borrow_and_update();
        match shared.batches().active().await {
            Ok(active) => take_turns(&shared, active, &mut running, &mut tasks),
            Err(error) => tracing::warn!(%error, "the batches cannot be read: {error}"),
        }
        if let Err(error) = shared.batches().purge_files(now()).await {
            tracing::warn!(%error, "files cannot be purged: {error}");
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = sleep(LOOK) => {}
            () = shared.stop.cancelled() => {}
            Some(ended) = tasks.join_next_with_id() => {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(panicked) => panicked.id(),
                };
                running.remove(&id);
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

/// Begins the batches whose turn it is, and ends a turn that another batch waits for.
fn take_turns(
    shared: &Arc<Shared>,
    mut waiting: Vec<ActiveBatch>,
    running: &mut HashMap<Id, Turn>,
    tasks: &mut JoinSet<()>,
) {
    waiting.retain(|batch| !running.values().any(|turn| turn.batch.id == batch.id));
    loop {
        let under_way: Vec<&Turn> = running.values().collect();
        let Some(batch) = next(&waiting, &under_way) else {
            match resting(&waiting, &under_way, Instant::now()) {
                Some(turn) => turn.over.cancel(),
                None => return,
            }
            continue;
        };
        waiting.retain(|other| other.id != batch.id);
        let turn = Turn::new(batch, shared.stop.child_token());
        let task = tasks.spawn(drive(shared.clone(), turn.batch.clone(), turn.over.clone()));
        running.insert(task.id(), turn);
    }
}

/// Does what is due of one batch until the batch, its turn or the process ends. A batch that was validated waits for a turn to
/// run.
async fn drive(shared: Arc<Shared>, batch: ActiveBatch, turn: CancellationToken) {
    let _under = shared.work.gateway.parts().metrics.batch_begins();
    let id = batch.id;
    while !turn.is_cancelled() {
        match step(&shared, &id, &turn).await {
            Ok(true) => return,
            Ok(false) if batch.validating => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, batch = %id, "a batch cannot go on just now: {error}");
                tokio::select! {
                    () = sleep(REST) => {}
                    () = turn.cancelled() => {}
                }
            }
        }
    }
}

/// Does the next step of a batch; returns whether the batch has ended.
async fn step(shared: &Arc<Shared>, id: &str, turn: &CancellationToken) -> Result<bool, Error> {
    let batch = match shared.batches().batch(Scope::All, id).await {
        Err(Error::NoSuchBatch(_)) => return Ok(true),
        other => Arc::new(other?),
    };
    match batch.status {
        Status::Validating => validate::validate(shared, &batch).await?,
        Status::InProgress => run::run(shared, &batch, turn).await?,
        Status::Finalizing | Status::Cancelling => finalize::finalize(shared, &batch).await?,
        Status::Failed | Status::Completed | Status::Expired | Status::Cancelled => return Ok(true),
    }
    Ok(false)
}
