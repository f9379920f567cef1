//! The experiments of an app.

use super::App;
use crate::experiments::Experiments;

impl App {
    /// The experiments.
    #[must_use]
    pub fn experiments(&self) -> &Experiments {
        &self.0.gateway.parts().experiments
    }

    /// Reads what another process changed of the experiments.
    pub(super) async fn refresh_experiments(&self) {
        if let Err(error) = self.experiments().refresh().await {
            tracing::warn!(%error, "cannot read the experiments again");
        }
    }
}
