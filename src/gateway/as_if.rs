//! The price of a model that somebody names, for a report of what other calls would have cost there.

use super::price::Pricing;
use super::state::Gateway;

/// The price of the model that is called so: a name of the configuration, a `provider/model`, or a vendor's model that the book
/// has. `None` where there is no such model; what has no price is [`Pricing::Unknown`].
#[must_use]
pub fn price_of(gateway: &Gateway, model: &str) -> Option<Pricing> {
    let live = gateway.live();
    if let Some(target) = live.routes.target(model) {
        let client = live.clients.get(&target.provider)?;
        return Some(Pricing::of(&live.prices, client.provider(), &target));
    }
    let (vendor, name) = model.split_once('/')?;
    live.prices.rate(vendor, "", name).map(Pricing::Tokens)
}
