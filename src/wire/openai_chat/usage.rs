//! Usage, as it is written.

use serde_json::{Value, json};

use crate::chat::Usage;

/// The usage as OpenAI counts it: the total of each side includes its details.
pub(super) fn write_usage(usage: &Usage) -> Value {
    let mut read = json!({"cached_tokens": usage.cached_input});
    if usage.cache_write > 0 {
        read["cache_write_tokens"] = usage.cache_write.into();
    }
    json!({
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input.saturating_add(usage.output),
        "prompt_tokens_details": read,
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    })
}
