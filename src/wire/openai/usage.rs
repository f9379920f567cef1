//! The `usage` object of chat completions, embeddings, and OpenAI's older routes.

use crate::chat::Usage;
use crate::wire::fields::tokens_in;
use crate::wire::json::fields;

/// Reads a `usage` value. `None` where it is no object or its counts cannot be true, so that the caller estimates. Details
/// that cannot be true are left out, and the rest counts as an estimate.
///
/// `prompt_tokens` includes cached tokens and `completion_tokens` includes reasoning, as OpenAI defines them.
#[must_use]
pub fn read_usage(json: &str) -> Option<Usage> {
    let [input, output, prompt, completion] =
        find(Some(json), ["prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details"]);
    let input = count(input)?;
    let output = match output {
        None | Some("null") => 0,
        tokens => count(tokens)?,
    };
    let [cached, written] = find(prompt, ["cached_tokens", "cache_write_tokens"]);
    let [reasoning] = find(completion, ["reasoning_tokens"]);
    let details = [cached, written, reasoning];
    let cached_input = count(cached).unwrap_or(0).min(input);
    Some(Usage {
        input,
        cached_input,
        cache_write: count(written).unwrap_or(0).min(input - cached_input),
        cache_write_1h: 0,
        output,
        reasoning: count(reasoning).unwrap_or(0).min(output),
        estimated: details.into_iter().any(|json| json.is_some_and(|json| json != "null") && count(json).is_none()),
    })
}

/// The usage in Groq's own field, `x_groq`, which its streams end with.
pub fn usage_at_groq(json: &str) -> Option<Usage> {
    let [usage] = find(Some(json), ["usage"]);
    read_usage(usage?)
}

/// The values of these fields, unchecked: some servers send counts that cannot be true.
fn find<'a, const N: usize>(json: Option<&'a str>, names: [&str; N]) -> [Option<&'a str>; N] {
    let mut found = [None; N];
    let Some(json) = json.filter(|json| json.starts_with('{')) else { return found };
    for (name, value) in fields(json) {
        if let Some(n) = names.iter().position(|known| *known == name) {
            found[n] = Some(value);
        }
    }
    found
}

fn count(json: Option<&str>) -> Option<u64> {
    tokens_in(json?)
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
        let odd = r#"{"prompt_tokens":7,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":-4}}"#;
        let guessed = Usage { input: 7, output: 2, estimated: true, ..Usage::default() };
        assert_eq!(read_usage(odd), Some(guessed));
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
