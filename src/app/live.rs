//! What a configuration decides for the gateway.

use std::sync::Arc;

use crate::config::{self, Config, OnDisconnect};
use crate::gateway::{KnownPrices, Live, MAX_WHOLE, RoomBound};
use crate::types::QuickMap;
use crate::upstream::simulated::SimulatedProvider;
use crate::upstream::{BadAddress, InProcess, InProcessModels, ProviderClient, ProviderKeys, ServerLoad};
use crate::usage::{PriceBook, PriceOverride};

/// The models that answer in this process, by their kinds of providers.
pub(super) fn in_process() -> InProcessModels {
    let simulated: Arc<dyn InProcess> = Arc::new(SimulatedProvider);
    InProcessModels::from_iter([("simulated", simulated)])
}

/// How many bytes of requests may be under way at once, and of whole answers.
pub(super) fn max_bodies(config: &Config) -> usize {
    usize::try_from(config.server.max_bodies).unwrap_or(usize::MAX)
}

/// What a configuration decides for the gateway.
///
/// # Errors
/// The first provider that cannot be called as it is configured.
pub(super) fn live(config: &Config, models: &InProcessModels) -> Result<Live, (Arc<str>, BadAddress)> {
    let mut clients = QuickMap::default();
    let keys = ProviderKeys::of(&config.providers);
    for provider in &config.providers {
        let name = provider.name.clone();
        let client = ProviderClient::new(provider.clone(), models, &keys);
        let client = client.map_err(|error| (name.clone(), error))?;
        clients.insert(name, Arc::new(client));
    }
    let read = clients.iter().filter(|(name, _)| config.routes.read_load_of(name));
    let loads = read.filter_map(|(name, client)| Some((name.clone(), Arc::new(ServerLoad::of(client)?))));
    let loads = loads.collect();
    let prices = PriceBook::builtin().with(config.prices.iter().map(price).collect());
    Ok(Live {
        routes: config.routes.clone(),
        asks_servers: clients.values().any(|client: &Arc<ProviderClient>| client.has_adapters()),
        clients,
        loads,
        prices,
        store_bodies: config.ledger.store_bodies,
        drains: config.client.on_disconnect == OnDisconnect::Drain,
        answers: RoomBound::new(max_bodies(config), MAX_WHOLE),
        known_prices: KnownPrices::default(),
    })
}

/// A price that the configuration sets, as the price book has it.
pub(super) fn price(price: &config::PriceOverride) -> PriceOverride {
    let config::PriceOverride { provider, model, tokens, units } = price;
    PriceOverride { provider: provider.to_string(), model: model.to_string(), rates: *tokens, units: *units }
}
