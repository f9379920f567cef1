//! The figures by which routes rank their targets: worked out where a route's strategy asks for them, and not before.

use std::sync::OnceLock;

use tokio::time::Instant;

use super::incoming::Incoming;
use super::prefix::prefix_of;
use super::request::Request;
use super::state::{Live, Parts};
use crate::chat::{Usage, Used};
use crate::routing::{Expected, Figures, Load, Target};

/// The figures of a call.
pub fn with_figures<T>(
    (parts, live): (&Parts, &Live),
    incoming: &Incoming,
    request: &Request,
    use_them: impl FnOnce(&Figures<'_>) -> T,
) -> T {
    let expected = OnceLock::new();
    let cost = |target: &Target| {
        let input = request.first().input_tokens();
        let output = *expected.get_or_init(|| parts.ratios.expected(&incoming.key.id, input));
        cost(live, request, target, (input, output))
    };
    let load = |target: &Target| {
        let Some(client) = live.clients.get(&target.provider) else { return Load::default() };
        let others = live.loads.get(&target.provider).and_then(|load| load.others(Instant::now()));
        Load { in_flight: client.in_flight(), most: client.provider().max_in_flight, others }
    };
    let prefix = || prefix_of(request);
    let (signals, sessions) = (&parts.signals, &parts.sessions);
    use_them(&Figures { signals, sessions, cost: &cost, load: &load, prefix: &prefix })
}

/// What a call is expected to cost at a target, where it reads and writes so many tokens: of the latter no more than it, or its
/// model, allows.
fn cost(live: &Live, request: &Request, target: &Target, (input, output): (u64, u64)) -> Expected {
    let Some(client) = live.clients.get(&target.provider) else { return Expected { input, output, cost: None } };
    let (pricing, most) = live.priced(client.provider(), target);
    let rendering = request.first();
    let reserved = rendering.reserve(most);
    let bound = rendering.max_tokens.into_iter().chain(most).min().unwrap_or(u64::MAX);
    let output = output.min(bound);
    let usage = reserved.usage.map(|usage| Usage { output, ..usage });
    let cost = pricing.cost(&Used { usage, ..reserved }.in_tier(rendering.asked_tier(client)));
    Expected { input, output, cost }
}
