//! The `usage` object of Responses.

use serde_json::{Value, json};

use crate::chat::Usage;
use crate::wire::fields::tokens;
use crate::wire::openai::{Sides, fees};

/// Reads a `usage` value. `None` where it is no object or its counts cannot be true, so that the caller estimates. Details
/// that cannot be true are left out, and what is left counts as an estimate.
///
/// `input_tokens` includes cached tokens and `output_tokens` includes reasoning, as OpenAI defines them.
pub(super) fn read_usage(usage: &Value) -> Option<Usage> {
    let input = tokens(usage.get("input_tokens")?)?;
    let output = match usage.get("output_tokens") {
        None => 0,
        Some(count) => tokens(count)?,
    };
    let mut estimated = false;
    let mut detail = |pointer: &str| {
        let value = usage.pointer(pointer).filter(|value| !value.is_null());
        let count = value.and_then(tokens);
        estimated |= value.is_some() && count.is_none();
        count.unwrap_or(0)
    };
    let cached = detail("/input_tokens_details/cached_tokens");
    let reasoning = detail("/output_tokens_details/reasoning_tokens");
    let total = usage.get("total_tokens").and_then(tokens);
    let Sides { input, output, cached, reasoning } = Sides { input, output, cached, reasoning }.summed(total);
    let cached_input = cached.min(input);
    let written = detail("/input_tokens_details/cache_write_tokens");
    let cache_write = written.min(input - cached_input);
    // More of a part than of the whole cannot be true.
    estimated |= cached > input || written > cache_write || reasoning > output;
    let reasoning = reasoning.min(output);
    let service = fees(&usage.to_string());
    Some(Usage { input, cached_input, cache_write, cache_write_1h: 0, output, reasoning, estimated, service })
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
