//! Counting a request's tokens.

use bytes::Bytes;
use serde_json::{Value, json};

use super::check;
use crate::chat::Error;
use crate::wire::dialect::Asked;
use crate::wire::fields::tokens;

/// Reads and checks the body of a request to count tokens: a request without `max_tokens`.
///
/// # Errors
/// A 400 that names the field at fault.
pub fn read_count_request(body: Bytes) -> Result<Asked, Error> {
    check::read(body, false)
}

/// The answer to a request to count tokens.
#[must_use]
pub fn count_answer(tokens: u64) -> Bytes {
    json!({"input_tokens": tokens}).to_string().into()
}

/// The count in a provider's answer; `None` where it cannot be true.
#[must_use]
pub fn read_count(body: &[u8]) -> Option<u64> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    tokens(answer.get("input_tokens")?)
}
