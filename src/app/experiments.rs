//! The experiments of an app.

use super::App;
use crate::experiments::Experiments;
use crate::jobs::experiments::ExperimentRunner;
use crate::upstream::Webhook;

impl App {
    /// The experiments.
    #[must_use]
    pub fn experiments(&self) -> &Experiments {
        &self.0.gateway.parts().experiments
    }

    /// Looks at the running experiments from now on.
    pub(super) fn look_at_experiments(&self) {
        let (gateway, databases) = (self.gateway().clone(), (self.db().clone(), self.ledger_db().clone()));
        let settings = self.config().experiments.clone();
        let webhook = settings.webhook.and_then(|settings| {
            let made = Webhook::new(settings);
            made.inspect_err(|error| tracing::error!("decisions of experiments cannot be sent: {error}")).ok()
        });
        let how = (settings.look_every, webhook);
        self.0.experiments.get_or_init(|| ExperimentRunner::start(gateway, databases, how));
    }

    /// Looks no more.
    pub(super) async fn end_experiments(&self) {
        if let Some(runner) = self.0.experiments.get() {
            runner.end().await;
        }
    }

    /// Reads what another process changed of the experiments.
    pub(super) async fn refresh_experiments(&self) {
        if let Err(error) = self.experiments().refresh().await {
            tracing::warn!(%error, "cannot read the experiments again");
        }
    }
}
