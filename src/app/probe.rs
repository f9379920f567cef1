//! Each provider of a configuration, called once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::in_process;
use crate::config::Config;
use crate::upstream::{Probe, ProviderClient};

/// How long a provider may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Calls every provider at once, with what costs nothing; in the file's order. Providers that cannot be called as they are
/// configured are left out.
pub async fn probe(config: &Config) -> Vec<(Arc<str>, Probe)> {
    let models = in_process();
    let clients = config.providers.iter().filter_map(|provider| ProviderClient::new(provider.clone(), &models).ok());
    let probes = clients.map(|client| async move { (client.provider().name.clone(), client.probe(LIMIT).await) });
    join_all(probes).await
}
