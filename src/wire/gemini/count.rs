//! Counting a request's tokens.

use bytes::Bytes;
use serde_json::{Value, json};

/// The answer to a request that asks to count its tokens.
#[must_use]
pub fn count_answer(tokens: u64) -> Bytes {
    json!({"totalTokens": tokens}).to_string().into()
}

/// Whether a provider's answer to such a request counts them.
#[must_use]
pub fn counts(body: &[u8]) -> bool {
    let answer = serde_json::from_slice::<Value>(body).unwrap_or_default();
    answer.get("totalTokens").is_some_and(Value::is_u64)
}
