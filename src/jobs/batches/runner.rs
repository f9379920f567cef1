//! Takes up the batches that have not ended, one task each, and goes on where a restart left them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::shared::{Shared, Work};
use super::{finalize, run, validate};
use crate::batches::{Error, Scope, Status};
use crate::types::now;

/// The most batches that are under way at once; the others wait their turn.
const AT_ONCE: usize = 16;

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
        let places = Arc::new(Semaphore::new(work.batches.settings().concurrency));
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
    let mut running: HashMap<tokio::task::Id, Arc<str>> = HashMap::new();
    let mut tasks = JoinSet::new();
    if let Err(error) = shared.batches().sweep().await {
        tracing::warn!(%error, "what ended batches left cannot be deleted yet: {error}");
    }
    while !shared.stop.is_cancelled() {
        changes.borrow_and_update();
        match shared.batches().active().await {
            Ok(active) => {
                for id in active.into_iter().filter(|id| !running.values().any(|known| known == id)).collect::<Vec<_>>()
                {
                    if running.len() < AT_ONCE {
                        let task = tasks.spawn(drive(shared.clone(), id.clone()));
                        running.insert(task.id(), id);
                    }
                }
            }
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

/// Runs one batch until it or the process ends.
async fn drive(shared: Arc<Shared>, id: Arc<str>) {
    let _under = shared.work.gateway.parts().metrics.batch_begins();
    while !shared.stop.is_cancelled() {
        match step(&shared, &id).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(%error, batch = %id, "a batch cannot go on just now: {error}");
                tokio::select! {
                    () = sleep(REST) => {}
                    () = shared.stop.cancelled() => {}
                }
            }
        }
    }
}

/// Does the next step of a batch; returns whether the batch has ended.
async fn step(shared: &Arc<Shared>, id: &str) -> Result<bool, Error> {
    let batch = match shared.batches().batch(Scope::All, id).await {
        Err(Error::NoSuchBatch(_)) => return Ok(true),
        other => Arc::new(other?),
    };
    match batch.status {
        Status::Validating => validate::validate(shared, &batch).await?,
        Status::InProgress => run::run(shared, &batch).await?,
        Status::Finalizing | Status::Cancelling => finalize::finalize(shared, &batch).await?,
        Status::Failed | Status::Completed | Status::Expired | Status::Cancelled => return Ok(true),
    }
    Ok(false)
}
