//! Answers that failed though their status is 200.

use serde_json::{Map, Value};

use super::error::read_error;
use crate::chat::{Code, Error};
use crate::wire::openai::is_failure;
use crate::wire::stream_error::{broke_off, in_answer, is_error};

/// Why a whole answer failed, where it did.
pub(super) fn failure(answer: &Value) -> Option<Error> {
    if let Some(error) = in_answer(answer) {
        return Some(read_error(error));
    }
    let choices = answer.get("choices")?.as_array()?;
    if choices.is_empty() && has_filtered(answer) {
        return Some(Error::new(Code::ContentFilter, "a filter of the provider's refused the request"));
    }
    if choices.is_empty() {
        return Some(Error::new(Code::UpstreamError, "its answer has no choices"));
    }
    choices.iter().filter_map(Value::as_object).find_map(of_choice)
}

/// Whether Azure's filter says what it found in the request, as it also does beside choices.
fn has_filtered(answer: &Value) -> bool {
    let results = answer.get("prompt_filter_results").and_then(Value::as_array);
    results.is_some_and(|results| !results.is_empty())
}

/// Why a choice failed, where it did: OpenRouter puts the error beside it.
pub(super) fn of_choice(choice: &Map<String, Value>) -> Option<Error> {
    if let Some(error) = choice.get("error").filter(|error| is_error(error)) {
        return Some(read_error(error));
    }
    let reason = choice.get("finish_reason").and_then(Value::as_str)?;
    is_failure(reason).then(|| broke_off(reason))
}

/// The error that a chunk of a stream reports.
pub(super) fn in_chunk(chunk: &[u8]) -> Error {
    let chunk: Value = serde_json::from_slice(chunk).unwrap_or_default();
    read_error(chunk.get("error").filter(|error| !error.is_null()).unwrap_or(&chunk))
}
