//! The log line of a call: who asked for what, who answered, how long that took and what it cost. No texts and no secrets.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::types::{Nanos, RequestId};

/// Whether calls have lines at the level `info`. At `debug` they always have.
#[derive(Debug, Default)]
pub struct AccessLog(AtomicBool);

/// One call, as its line shows it.
#[derive(Debug)]
pub struct AccessLine<'a> {
    /// The call.
    pub request: RequestId,
    /// The public id of its key; `None` where it had none that is known.
    pub key: Option<&'a str>,
    /// The endpoint, such as `chat.completions`.
    pub endpoint: &'static str,
    /// The model as the caller named it.
    pub model: &'a str,
    /// The provider that answered, or was tried last.
    pub provider: Option<&'a str>,
    /// The provider's name of its model.
    pub provider_model: Option<&'a str>,
    /// The HTTP status.
    pub status: u16,
    /// The ledger's status.
    pub outcome: &'a str,
    /// The error's code.
    pub error: Option<&'a str>,
    /// How long it took.
    pub latency: Duration,
    /// What it cost; `None` where a price is unknown.
    pub cost: Option<Nanos>,
    /// The cache's part.
    pub cache: Option<&'a str>,
}

/// The target of these lines, by which `RUST_LOG` chooses them.
pub(super) const TARGET: &str = "fulcrum::access";

impl AccessLog {
    /// Whether calls have lines at `info` from now on.
    pub fn set(&self, is_on: bool) {
        self.0.store(is_on, Ordering::Relaxed);
    }

    /// Writes the line of a call, if that is wanted.
    pub fn write<'a>(&self, line: impl FnOnce() -> AccessLine<'a>) {
        let is_wanted = self.0.load(Ordering::Relaxed) || tracing::enabled!(target: TARGET, tracing::Level::DEBUG);
        if is_wanted {
            line().write();
        }
    }
}

impl AccessLine<'_> {
    /// Fields that are texts are written with their control characters escaped; the message has no word of a caller's.
    fn write(self) {
        let Self { request, key, endpoint, model, status, outcome, error, cache, .. } = self;
        let target_id = self.provider.zip(self.provider_model).map(|(provider, model)| format!("{provider}/{model}"));
        let cost_usd = self.cost.map(|cost| cost.to_string());
        tracing::info!(
            target: TARGET,
            request = request.text().as_str(),
            key,
            endpoint,
            model,
            target_id,
            status,
            outcome,
            error,
            ms = self.latency.as_secs_f64() * 1e3,
            cost_usd,
            cache,
            "call"
        );
    }
}
