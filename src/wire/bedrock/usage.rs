//! The `usage` object, whole and in a stream's `metadata`.

use serde_json::Value;

use crate::chat::{Service, Tier, Usage};
use crate::wire::fields::tokens;

/// Reads usage. `inputTokens` leaves out what was read from the cache or written to it. `None` where a count is missing or
/// cannot be true.
pub(super) fn read(reported: &Value) -> Option<Usage> {
    let maybe = |name: &str| match reported.get(name) {
        None | Some(Value::Null) => Some(0),
        Some(value) => tokens(value),
    };
    let (cached_input, cache_write) = (maybe("cacheReadInputTokens")?, maybe("cacheWriteInputTokens")?);
    let hour = reported.get("cacheDetails").and_then(Value::as_array).into_iter().flatten();
    let hour = hour.filter(|detail| detail.get("ttl").is_some_and(|ttl| ttl == "1h"));
    let cache_write_1h = hour.filter_map(|detail| tokens(detail.get("inputTokens")?)).sum::<u64>();
    Some(Usage {
        input: tokens(reported.get("inputTokens")?)? + cached_input + cache_write,
        cached_input,
        cache_write,
        cache_write_1h: cache_write_1h.min(cache_write),
        output: tokens(reported.get("outputTokens")?)?,
        reasoning: 0,
        estimated: cache_write_1h > cache_write,
        service: Service::default(),
    })
}

/// Reads usage as it stands in a whole answer or in a stream's `metadata`, with what beside it decides the price.
pub(super) fn read_with_service(answer: &Value) -> Option<Usage> {
    let text = |pointer: &str| answer.pointer(pointer).and_then(Value::as_str);
    let usage = read(answer.get("usage")?)?;
    // The book has no price for answers of optimised latency.
    let tier = match text("/performanceConfig/latency") {
        None | Some("standard") => text("/serviceTier/type").map_or(Tier::Unnamed, Tier::named),
        Some(_) => Tier::Other,
    };
    Some(usage.in_tier(tier))
}
