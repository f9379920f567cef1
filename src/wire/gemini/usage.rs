//! `usageMetadata`, both ways.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::{Service, Tier, Usage};
use crate::wire::fields::tokens_in;
use crate::wire::json::{fields, items};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Counts<'a> {
    #[serde(borrow)]
    prompt_token_count: Option<&'a RawValue>,
    #[serde(borrow)]
    tool_use_prompt_token_count: Option<&'a RawValue>,
    #[serde(borrow)]
    cached_content_token_count: Option<&'a RawValue>,
    #[serde(borrow)]
    candidates_token_count: Option<&'a RawValue>,
    #[serde(borrow)]
    thoughts_token_count: Option<&'a RawValue>,
    #[serde(borrow)]
    traffic_type: Option<&'a RawValue>,
    #[serde(borrow)]
    service_tier: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    cache_tokens_details: Option<&'a RawValue>,
    #[serde(borrow)]
    candidates_tokens_details: Option<&'a RawValue>,
}

/// Reads a `usageMetadata` value. `None` where it has no counts or they cannot be true, so that the caller estimates. A
/// cached count that cannot be true is left out, and what is left counts as an estimate.
///
/// Google leaves out a count that is zero, and `candidatesTokenCount` does not include thoughts.
pub(super) fn read_usage(json: &str) -> Option<Usage> {
    let counted: Counts<'_> = serde_json::from_str(json).ok()?;
    let counts = [counted.prompt_token_count, counted.candidates_token_count, counted.thoughts_token_count];
    if counts.iter().all(Option::is_none) {
        return None;
    }
    let input = count(counted.prompt_token_count)? + count(counted.tool_use_prompt_token_count)?;
    let reasoning = count(counted.thoughts_token_count)?;
    let cached = count(counted.cached_content_token_count);
    Some(
        Usage {
            input,
            cached_input: cached.unwrap_or(0).min(input),
            output: count(counted.candidates_token_count)? + reasoning,
            reasoning,
            // More of a part than of the whole cannot be true.
            estimated: cached.is_none_or(|cached| cached > input),
            service: by_modality(&counted),
            ..Usage::default()
        }
        .in_tier(Tier::of_json(counted.traffic_type.or(counted.service_tier).map(RawValue::get))),
    )
}

/// What the counts by modality say of tokens that have a rate of their own.
fn by_modality(counted: &Counts<'_>) -> Service {
    let written = counted.candidates_tokens_details;
    Service {
        audio_input: tokens_of(counted.prompt_tokens_details, "\"AUDIO\""),
        audio_output: tokens_of(written, "\"AUDIO\""),
        has_other_output: tokens_of(written, "\"IMAGE\"") > 0,
        // No book has a rate for sound that was read from the cache.
        has_other_fees: tokens_of(counted.cache_tokens_details, "\"AUDIO\"") > 0,
        ..Service::default()
    }
}

/// The tokens of this modality in a list of counts.
fn tokens_of(details: Option<&RawValue>, modality: &str) -> u64 {
    let list = details.map(RawValue::get).filter(|list| list.starts_with('['));
    let count = |detail: &str| {
        let (mut is_wanted, mut tokens) = (false, 0);
        for (name, value) in fields(detail) {
            is_wanted |= name == "modality" && value == modality;
            tokens = if name == "tokenCount" { tokens_in(value).unwrap_or(0) } else { tokens };
        }
        if is_wanted { tokens } else { 0 }
    };
    list.into_iter().flat_map(items).filter(|detail| detail.starts_with('{')).map(count).sum()
}

/// How many searches a candidate's `groundingMetadata` shows, each of which may have a fee: its queries, or one where it has
/// sources alone.
pub(super) fn searches_in(grounding: &str) -> u64 {
    let length = |wanted: &str| {
        let list = fields(grounding).filter(|_| grounding.starts_with('{')).find(|(name, _)| *name == wanted);
        list.filter(|(_, list)| list.starts_with('[')).map_or(0, |(_, list)| items(list).count())
    };
    let sources = length("groundingChunks").min(1);
    u64::try_from(length("webSearchQueries").max(sources)).unwrap_or(u64::MAX)
}

fn count(json: Option<&RawValue>) -> Option<u64> {
    json.map_or(Some(0), |json| tokens_in(json.get()))
}

/// Writes a `usageMetadata` value.
pub(super) fn write_usage(usage: &Usage) -> Value {
    let mut out = json!({
        "promptTokenCount": usage.input,
        "candidatesTokenCount": usage.output.saturating_sub(usage.reasoning),
        "totalTokenCount": usage.input.saturating_add(usage.output),
    });
    for (name, tokens) in
        [("cachedContentTokenCount", usage.cached_input), ("thoughtsTokenCount", usage.reasoning.min(usage.output))]
    {
        if tokens > 0 {
            out[name] = tokens.into();
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thoughts_are_output_and_tool_prompts_are_input() {
        let json = r#"{"promptTokenCount":100,"toolUsePromptTokenCount":7,"cachedContentTokenCount":60,
            "candidatesTokenCount":20,"thoughtsTokenCount":5,"totalTokenCount":132}"#;
        let usage = read_usage(json).unwrap();
        let expected = Usage { input: 107, cached_input: 60, output: 25, reasoning: 5, ..Usage::default() };
        assert_eq!(usage, expected);
        assert_eq!(read_usage(&write_usage(&usage).to_string()), Some(usage));
    }

    #[test]
    fn zero_is_a_count_and_nonsense_is_none() {
        assert_eq!(read_usage(r#"{"promptTokenCount":0}"#), Some(Usage::default()));
        assert_eq!(read_usage(r#"{"promptTokenCount":4}"#).map(|usage| (usage.input, usage.output)), Some((4, 0)));
        for json in [
            "null",
            "{}",
            "[]",
            r#"{"trafficType":"ON_DEMAND"}"#,
            r#"{"promptTokenCount":-5}"#,
            r#"{"promptTokenCount":"7"}"#,
            r#"{"promptTokenCount":1,"candidatesTokenCount":99999999999999}"#,
        ] {
            assert_eq!(read_usage(json), None, "{json}");
        }
    }
}
