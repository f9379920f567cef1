//! The `usage` object of Responses.

use serde_json::{Value, json};

use crate::chat::Usage;

/// More tokens than any model reads or writes in a call: a count above it is a fault of the provider's.
const MOST_TOKENS: u64 = 100_000_000;

/// Reads a `usage` value. `None` where it is no object or its counts cannot be true, so that the caller estimates. Details
/// that cannot be true are left out, and what is left counts as an estimate.
///
/// `input_tokens` includes cached tokens and `output_tokens` includes reasoning, as OpenAI defines them.
pub(super) fn read_usage(told: &Value) -> Option<Usage> {
    let input = count(told.get("input_tokens"))?;
    let output = match told.get("output_tokens") {
        None => 0,
        tokens => count(tokens)?,
    };
    let mut estimated = false;
    let mut detail = |pointer: &str| {
        let value = told.pointer(pointer).filter(|value| !value.is_null());
        let tokens = count(value);
        estimated |= value.is_some() && tokens.is_none();
        tokens.unwrap_or(0)
    };
    let cached_input = detail("/input_tokens_details/cached_tokens").min(input);
    let cache_write = detail("/input_tokens_details/cache_write_tokens").min(input - cached_input);
    let reasoning = detail("/output_tokens_details/reasoning_tokens").min(output);
    Some(Usage { input, cached_input, cache_write, cache_write_1h: 0, output, reasoning, estimated })
}

fn count(value: Option<&Value>) -> Option<u64> {
    value?.as_u64().filter(|tokens| *tokens <= MOST_TOKENS)
}

/// Writes usage with all its details, which the SDKs' types ask for.
pub(super) fn write_usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached_input, "cache_write_tokens": usage.cache_write},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}
