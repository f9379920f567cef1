//! `usageMetadata`, both ways.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::chat::{Service, Tier, Usage};
use crate::wire::fields::tokens_in;
use crate::wire::json::{fields, items};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reported<'a> {
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

/// The counts of one answer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    prompt: u64,
    tool_prompt: u64,
    cached: u64,
    candidates: u64,
    thoughts: u64,
    /// Whether the cached count cannot be true.
    is_odd: bool,
    service: Usage,
}

impl Counts {
    /// Reads a `usageMetadata` value. `None` where it has no counts or they cannot be true, so that the caller estimates.
    ///
    /// Google leaves out a count that is zero.
    pub(super) fn read(json: &str) -> Option<Self> {
        let reported: Reported<'_> = serde_json::from_str(json).ok()?;
        let counts = [reported.prompt_token_count, reported.candidates_token_count, reported.thoughts_token_count];
        if counts.iter().all(Option::is_none) {
            return None;
        }
        let cached = count(reported.cached_content_token_count);
        let service = Usage { service: by_modality(&reported), ..Usage::default() };
        Some(Self {
            prompt: count(reported.prompt_token_count)?,
            tool_prompt: count(reported.tool_use_prompt_token_count)?,
            cached: cached.unwrap_or(0),
            candidates: count(reported.candidates_token_count)?,
            thoughts: count(reported.thoughts_token_count)?,
            is_odd: cached.is_none(),
            service: service.in_tier(Tier::of_json(reported.traffic_type.or(reported.service_tier).map(RawValue::get))),
        })
    }

    /// The later of two chunks' counts. Counts are cumulative, and a chunk may leave some of them out.
    pub(super) fn after(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        Self {
            prompt: self.prompt.max(earlier.prompt),
            tool_prompt: self.tool_prompt.max(earlier.tool_prompt),
            cached: self.cached.max(earlier.cached),
            candidates: self.candidates.max(earlier.candidates),
            thoughts: self.thoughts.max(earlier.thoughts),
            is_odd: self.is_odd,
            service: self.service.after(Some(earlier.service)),
        }
    }

    /// The usage that they are. `candidatesTokenCount` does not include thoughts. A cached count that cannot be true is left
    /// out, and what is left counts as an estimate.
    pub(super) fn usage(self) -> Usage {
        let input = self.prompt + self.tool_prompt;
        Usage {
            input,
            cached_input: self.cached.min(input),
            output: self.candidates + self.thoughts,
            reasoning: self.thoughts,
            // More of a part than of the whole cannot be true.
            estimated: self.is_odd || self.cached > input,
            ..self.service
        }
    }
}

/// Reads the usage of a whole answer.
pub(super) fn read_usage(json: &str) -> Option<Usage> {
    Counts::read(json).map(Counts::usage)
}

/// What the counts by modality say of tokens that have a rate of their own.
fn by_modality(counted: &Reported<'_>) -> Service {
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
