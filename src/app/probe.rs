//! Each provider of a configuration, called once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::in_process;
use crate::config::Config;
use crate::upstream::{Probe, ProviderClient, ProviderKeys};

/// How long a provider may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Calls every provider at once, with what costs nothing; in the file's order. Providers that cannot be called as they are
/// configured are left out.
pub async fn probe(config: &Config) -> Vec<(Arc<str>, Probe)> {
    let models = in_process();
    let keys = ProviderKeys::of(&config.providers);
    let made = config.providers.iter().map(|provider| ProviderClient::new(provider.clone(), &models, &keys));
    let clients = made.filter_map(Result::ok);
    let probes = clients.map(|client| async move { (client.provider().name.clone(), client.probe(LIMIT).await) });
    join_all(probes).await
}
