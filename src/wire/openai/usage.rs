//! The `usage` object of chat completions, embeddings, and OpenAI's older routes.

use crate::chat::{Service, Usage};
use crate::types::Nanos;
use crate::wire::fields::tokens_in;
use crate::wire::json::fields;

/// Reads a `usage` value. `None` where it is no object or its counts cannot be true, so that the caller estimates. Details
/// that cannot be true are left out, and the rest counts as an estimate.
///
/// `prompt_tokens` includes cached tokens and `completion_tokens` includes reasoning, as OpenAI defines them. xAI and Google
/// count reasoning beside: `total_tokens` shows which it is.
#[must_use]
pub fn read_usage(json: &str) -> Option<Usage> {
    let Reported { input, output, total, prompt, completion, own, fees } = Reported::of(json);
    let input = count(input)?;
    let output = match output {
        None | Some("null") => 0,
        tokens => count(tokens)?,
    };
    let [cached, written, created, audio_input] =
        find(prompt, ["cached_tokens", "cache_write_tokens", "cache_creation_input_tokens", "audio_tokens"]);
    let [reasoning, audio_output] = find(completion, ["reasoning_tokens", "audio_tokens"]);
    // OpenAI's own field counts before a vendor's.
    let cached = cached.filter(|json| *json != "null").or_else(|| own[..4].iter().flatten().next().copied());
    let written = written.or(created).or(own[4]);
    let reasoning = reasoning.filter(|json| *json != "null").or(own[5]);
    let is_odd = |json: &Option<&str>| json.is_some_and(|json| json != "null" && count(Some(json)).is_none());
    let is_odd = [cached, written, reasoning, audio_input, audio_output].iter().any(is_odd);
    let counted = |json: Option<&str>| count(json).unwrap_or(0);
    let sides = Sides { input, output, cached: counted(cached), reasoning: counted(reasoning) };
    let Sides { input, output, cached, reasoning } = sides.summed(count(total));
    let cached_input = cached.min(input);
    let written = counted(written);
    let cache_write = written.min(input - cached_input);
    // More of a part than of the whole cannot be true.
    let is_cut = cached > input || written > cache_write || reasoning > output;
    Some(Usage {
        input,
        cached_input,
        cache_write,
        cache_write_1h: 0,
        output,
        reasoning: reasoning.min(output),
        estimated: is_odd || is_cut,
        service: Service { audio_input: counted(audio_input), audio_output: counted(audio_output), ..fees.service() },
    })
}

/// The fields of a `usage` that are read, unchecked, as one walk finds them.
#[derive(Default)]
struct Reported<'a> {
    input: Option<&'a str>,
    output: Option<&'a str>,
    total: Option<&'a str>,
    prompt: Option<&'a str>,
    completion: Option<&'a str>,
    /// Vendors' own fields: tokens from the cache at DeepSeek, Moonshot, Mistral and gateways to Anthropic; tokens into it at
    /// the last; reasoning at Perplexity and SGLang.
    own: [Option<&'a str>; 6],
    fees: Fees<'a>,
}

impl<'a> Reported<'a> {
    fn of(json: &'a str) -> Self {
        let mut found = Self::default();
        for (name, value) in fields(json).filter(|_| json.starts_with('{')) {
            let place = match name {
                "prompt_tokens" => &mut found.input,
                "completion_tokens" => &mut found.output,
                "total_tokens" => &mut found.total,
                "prompt_tokens_details" => &mut found.prompt,
                "completion_tokens_details" => &mut found.completion,
                "prompt_cache_hit_tokens" => &mut found.own[0],
                "cached_tokens" => &mut found.own[1],
                "num_cached_tokens" => &mut found.own[2],
                "cache_read_input_tokens" => &mut found.own[3],
                "cache_creation_input_tokens" => &mut found.own[4],
                "reasoning_tokens" => &mut found.own[5],
                name => match found.fees.place(name) {
                    Some(place) => place,
                    None => continue,
                },
            };
            *place = Some(value);
        }
        found
    }
}

/// The counts of both sides, and of their details.
#[derive(Clone, Copy, Debug)]
pub struct Sides {
    /// All tokens read, as they are reported.
    pub input: u64,
    /// All tokens written, as they are reported.
    pub output: u64,
    /// Tokens from the cache.
    pub cached: u64,
    /// Tokens of reasoning.
    pub reasoning: u64,
}

impl Sides {
    /// The same with each detail within its side: what the total proves to stand beside is added.
    #[must_use]
    pub fn summed(self, total: Option<u64>) -> Self {
        let Self { input, output, cached, reasoning } = self;
        let rest = total.and_then(|total| total.checked_sub(input + output)).unwrap_or(0);
        match rest {
            0 if total.is_none() && reasoning > output => Self { output: output + reasoning, ..self },
            0 => self,
            rest if rest == reasoning => Self { output: output + rest, ..self },
            rest if rest == cached => Self { input: input + rest, ..self },
            rest if rest == cached + reasoning => Self { input: input + cached, output: output + reasoning, ..self },
            // Google's own endpoint in OpenAI's shape names no reasoning, and has it in the total.
            rest if reasoning == 0 && output > 0 => Self { output: output + rest, reasoning: rest, ..self },
            _ if reasoning > output => Self { output: output + reasoning, ..self },
            _ => self,
        }
    }
}

/// What a `usage` reports of fees beside the tokens: searches, and what OpenRouter, xAI and Perplexity say that the call costs.
#[must_use]
pub fn fees(json: &str) -> Service {
    let mut found = Fees::default();
    for (name, value) in fields(json).filter(|_| json.starts_with('{')) {
        if let Some(place) = found.place(name) {
            *place = Some(value);
        }
    }
    found.service()
}

/// The fields of fees, unchecked.
#[derive(Default)]
struct Fees<'a> {
    cost: Option<&'a str>,
    ticks: Option<&'a str>,
    is_byok: Option<&'a str>,
    details: Option<&'a str>,
    sources: Option<&'a str>,
    queries: Option<&'a str>,
}

impl<'a> Fees<'a> {
    /// Where the field of this name belongs.
    fn place(&mut self, name: &str) -> Option<&mut Option<&'a str>> {
        Some(match name {
            "cost" => &mut self.cost,
            "cost_in_usd_ticks" => &mut self.ticks,
            "is_byok" => &mut self.is_byok,
            "cost_details" => &mut self.details,
            "num_sources_used" => &mut self.sources,
            "num_search_queries" => &mut self.queries,
            _ => return None,
        })
    }

    fn service(&self) -> Service {
        let Self { cost, ticks, is_byok, details, sources, queries } = *self;
        let of_object = |json: &str| find(Some(json), ["total_cost"])[0].and_then(dollars);
        let cost = cost.and_then(|json| dollars(json).or_else(|| of_object(json)));
        // With a key of the caller's own at the provider behind it, the provider charges the rest.
        let behind = || find(details, ["upstream_inference_cost"])[0].and_then(dollars);
        let cost = if is_byok == Some("true") { cost.zip(behind()).map(|(own, behind)| own + behind) } else { cost };
        let ticks = ticks.and_then(|json| json.parse::<i64>().ok()).filter(|ticks| (0..=MOST_TICKS).contains(ticks));
        Service {
            searches: count(sources).or(count(queries)).unwrap_or(0),
            reported_cost: cost.or(ticks.map(|ticks| Nanos((ticks + 5) / 10))),
            ..Service::default()
        }
    }
}

/// More than any call costs, in ten-billionths of a dollar.
const MOST_TICKS: i64 = 100_000_000_000_000;

/// Dollars as a JSON number, up to more than any call costs.
#[expect(clippy::cast_possible_truncation, reason = "it lies between 0 and 10^13")]
fn dollars(json: &str) -> Option<Nanos> {
    let amount = json.parse::<f64>().ok().filter(|amount| (0.0..=10_000.0).contains(amount))?;
    Some(Nanos((amount * 1e9).round() as i64))
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
        let usage =
            Usage { input: 100, cached_input: 60, cache_write: 10, output: 20, reasoning: 5, ..Usage::default() };
        assert_eq!(read_usage(json), Some(usage));
    }

    #[test]
    fn the_sums_show_whether_a_detail_stands_within_or_beside() {
        let usage = |rest: &str| read_usage(&format!(r#"{{"prompt_tokens":32,{rest}}}"#)).unwrap();
        let thought = |tokens: u64| format!(r#""completion_tokens_details":{{"reasoning_tokens":{tokens}}}"#);
        for (rest, output, reasoning) in [
            (format!(r#""completion_tokens":9,"total_tokens":135,{}"#, thought(94)), 103, 94),
            (format!(r#""completion_tokens":103,"total_tokens":135,{}"#, thought(94)), 103, 94),
            (format!(r#""completion_tokens":9,{}"#, thought(94)), 103, 94),
            (format!(r#""completion_tokens":9,"total_tokens":0,{}"#, thought(4)), 9, 4),
            (r#""completion_tokens":9,"total_tokens":135"#.to_owned(), 103, 94),
            (r#""completion_tokens":9,"total_tokens":41,"reasoning_tokens":5"#.to_owned(), 9, 5),
        ] {
            let usage = usage(&rest);
            assert_eq!((usage.input, usage.output, usage.reasoning), (32, output, reasoning), "{rest}");
        }
        for (rest, input, cached) in [
            (
                r#""completion_tokens":1,"total_tokens":33,"prompt_cache_hit_tokens":20,"prompt_cache_miss_tokens":12"#,
                32,
                20,
            ),
            (r#""completion_tokens":1,"total_tokens":33,"cached_tokens":20"#, 32, 20),
            (r#""completion_tokens":1,"total_tokens":33,"prompt_tokens_details":null,"num_cached_tokens":20"#, 32, 20),
            (r#""completion_tokens":1,"total_tokens":53,"prompt_tokens_details":{"cached_tokens":20}"#, 52, 20),
        ] {
            let usage = usage(rest);
            assert_eq!((usage.input, usage.cached_input, usage.output), (input, cached, 1), "{rest}");
        }
    }

    #[test]
    fn what_a_provider_says_of_the_cost_is_read() {
        for (rest, cost) in [
            (r#""cost":0.00014"#, Some(140_000)),
            (r#""cost":1.5e-05"#, Some(15_000)),
            (r#""cost":{"total_cost":0.006}"#, Some(6_000_000)),
            (r#""cost_in_usd_ticks":2975000"#, Some(297_500)),
            (r#""cost":0.001,"is_byok":true,"cost_details":{"upstream_inference_cost":0.02}"#, Some(21_000_000)),
            (r#""cost":0.001,"is_byok":true"#, None),
            (r#""cost":-1"#, None),
            (r#""cost":"free""#, None),
        ] {
            let usage = read_usage(&format!(r#"{{"prompt_tokens":1,{rest}}}"#)).unwrap();
            assert_eq!(usage.service.reported_cost, cost.map(Nanos), "{rest}");
        }
    }

    #[test]
    fn more_of_a_part_than_of_the_whole_is_an_estimate() {
        let usage = |details: &str| {
            read_usage(&format!(r#"{{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,{details}}}"#)).unwrap()
        };
        let cached = |tokens: u64| usage(&format!(r#""prompt_tokens_details":{{"cached_tokens":{tokens}}}"#));
        assert_eq!((cached(10).cached_input, cached(10).estimated), (10, false));
        assert_eq!((cached(40).cached_input, cached(40).estimated), (10, true));
        let written = usage(r#""prompt_tokens_details":{"cached_tokens":4,"cache_write_tokens":7}"#);
        assert_eq!((written.cache_write, written.estimated), (6, true));
        let thought = usage(r#""completion_tokens_details":{"reasoning_tokens":3}"#);
        assert_eq!((thought.reasoning, thought.estimated), (3, false));
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
