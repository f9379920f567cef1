//! Looks at the running experiments again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::decide::decide;
use super::seen::observe;
use crate::chat::Error;
use crate::db::Db;
use crate::experiments::{Experiment, State};
use crate::gateway::Gateway;
use crate::types::now;
use crate::upstream::Webhook;

/// A look takes at most about one part in so many of the time.
const PART: u32 = 20;

/// Looks at experiments until it is stopped.
pub struct ExperimentRunner {
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// What a look needs.
struct Work {
    gateway: Gateway,
    /// The database of prompts and experiments.
    db: Db,
    /// The database with the ledger's rows.
    ledger_db: Db,
    /// Where decisions are sent.
    webhook: Option<Webhook>,
}

impl ExperimentRunner {
    /// Begins to look, with a `rest` between two looks at least. A decision that was cut off by the end of a process was not made: the next look makes it.
    #[must_use]
    pub fn start(gateway: Gateway, (db, ledger_db): (Db, Db), (rest, webhook): (Duration, Option<Webhook>)) -> Self {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let work = Work { gateway, db, ledger_db, webhook };
        tasks.spawn(look_on(work, rest, stop.clone()));
        tasks.close();
        Self { tasks, stop }
    }

    /// Looks no more, and waits for the look that is under way.
    pub async fn end(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

async fn look_on(work: Work, rest: Duration, stop: CancellationToken) {
    let mut pause = rest;
    while !stop.is_cancelled() {
        tokio::select! {
            () = sleep(pause) => {}
            () = stop.cancelled() => break,
        }
        let began = Instant::now();
        for experiment in work.gateway.parts().experiments.list() {
            if experiment.state == State::Running
                && let Err(error) = work.look(&experiment).await
            {
                let (name, error) = (&experiment.spec.name, error.detail.as_deref().unwrap_or(&error.message));
                tracing::warn!(experiment = %name, "cannot look at the experiment {name}: {error}");
            }
        }
        pause = rest.max(began.elapsed() * PART);
        if let Err(error) = work.send().await {
            let error = error.detail.as_deref().unwrap_or(&error.message);
            tracing::warn!("cannot read which decisions are to be sent: {error}");
        }
    }
}

impl Work {
    async fn look(&self, experiment: &Arc<Experiment>) -> Result<(), Error> {
        let parts = self.gateway.parts();
        let now = now();
        let observed = observe(&self.ledger_db, experiment, now).await?;
        let notifies = self.webhook.is_some();
        decide((parts, &self.db), experiment, &observed.look.verdict, (now, notifies)).await.map(drop)
    }

    /// Sends the messages about decisions that are due, each once.
    async fn send(&self) -> Result<(), Error> {
        let Some(webhook) = &self.webhook else { return Ok(()) };
        let experiments = &self.gateway.parts().experiments;
        for notice in experiments.notices(now()).await? {
            match webhook.send(&notice.id, &notice.body, now()).await {
                Ok(()) => experiments.arrived(&notice).await?,
                Err(problem) if experiments.failed(&notice, now()).await? => {
                    tracing::warn!(
                        notice = notice.id,
                        "the webhook did not take a decision, which is sent again: {problem}"
                    );
                }
                Err(problem) => {
                    tracing::error!(
                        notice = notice.id,
                        "the webhook did not take a decision, which is given up: {problem}"
                    );
                }
            }
        }
        Ok(())
    }
}
