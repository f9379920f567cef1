//! The `usage` object of OpenAI's dialect.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::Usage;

/// More tokens than any model reads or writes in a call: a count above it is a fault of the provider's.
const MOST_TOKENS: u64 = 100_000_000;

/// The object as OpenAI writes it; counts are kept as they stand, since some servers send nonsense.
#[derive(Deserialize)]
struct Told<'a> {
    #[serde(borrow)]
    prompt_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    completion_tokens_details: Option<&'a RawValue>,
}

#[derive(Deserialize, Default)]
struct Details<'a> {
    #[serde(borrow)]
    cached_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_write_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    reasoning_tokens: Option<&'a RawValue>,
}

/// Reads a `usage` value. `None` where it is no object or its counts cannot be true, so that the caller estimates.
///
/// `prompt_tokens` includes cached tokens and `completion_tokens` includes reasoning, as OpenAI defines them.
#[must_use]
pub fn read_usage(json: &str) -> Option<Usage> {
    let told: Told<'_> = serde_json::from_str(json).ok()?;
    let input = count(told.prompt_tokens)?;
    let output = match told.completion_tokens {
        None => 0,
        tokens => count(tokens)?,
    };
    let prompt = details(told.prompt_tokens_details);
    let cached_input = count(prompt.cached_tokens).unwrap_or(0).min(input);
    Some(Usage {
        input,
        cached_input,
        cache_write: count(prompt.cache_write_tokens).unwrap_or(0).min(input - cached_input),
        cache_write_1h: 0,
        output,
        reasoning: count(details(told.completion_tokens_details).reasoning_tokens).unwrap_or(0).min(output),
        estimated: false,
    })
}

fn details(json: Option<&RawValue>) -> Details<'_> {
    json.and_then(|json| serde_json::from_str(json.get()).ok()).unwrap_or_default()
}

fn count(json: Option<&RawValue>) -> Option<u64> {
    json?.get().parse().ok().filter(|tokens| *tokens <= MOST_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_and_reasoning_tokens_stand_apart() {
        let json = r#"{"prompt_tokens":100,"completion_tokens":20,"total_tokens":120,
            "prompt_tokens_details":{"cached_tokens":60,"cache_write_tokens":10},
            "completion_tokens_details":{"reasoning_tokens":5}}"#;
        let usage = Usage {
            input: 100,
            cached_input: 60,
            cache_write: 10,
            cache_write_1h: 0,
            output: 20,
            reasoning: 5,
            estimated: false,
        };
        assert_eq!(read_usage(json), Some(usage));
    }

    #[test]
    fn zero_is_a_count_and_nonsense_is_none() {
        assert_eq!(read_usage(r#"{"prompt_tokens":0,"completion_tokens":0}"#), Some(Usage::default()));
        assert_eq!(read_usage(r#"{"prompt_tokens":7}"#).map(|usage| usage.input), Some(7));
        for json in [
            "null",
            "{}",
            "[]",
            r#"{"prompt_tokens":-5,"completion_tokens":1}"#,
            r#"{"prompt_tokens":1e30}"#,
            r#"{"prompt_tokens":1,"completion_tokens":99999999999999}"#,
            r#"{"prompt_tokens":"7"}"#,
        ] {
            assert_eq!(read_usage(json), None, "{json}");
        }
    }
}
