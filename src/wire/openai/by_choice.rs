//! The tokens of several choices, of which a server counted the first only: llama.cpp does so in whole answers.

use crate::chat::Usage;
use crate::wire::json::{Object, fields, items};

/// The usage of all choices, from the usage of the first. The tokens of a choice are those of its log-probabilities, or the
/// limit where the choice reached it, or else an estimate from the length of the first; the usage says where it is estimated.
#[must_use]
pub fn of_all_choices(answer: &Object, first: Usage, limit: Option<u64>) -> Usage {
    let mut choices = items(answer.get("choices").unwrap_or("[]")).map(Choice::read);
    let Some(counted) = choices.next() else { return first };
    let mut usage = first;
    for choice in choices {
        let known = choice.logprobs.or(limit.filter(|_| choice.hit_limit));
        let tokens = known.unwrap_or_else(|| {
            usage.estimated = true;
            // Rounded up: what was written is at least one token.
            first.output.saturating_mul(choice.bytes).div_ceil(counted.bytes.max(1))
        });
        usage.output = usage.output.saturating_add(tokens);
    }
    usage
}

struct Choice {
    /// The length of the choice's text, in bytes.
    bytes: u64,
    /// How many tokens have log-probabilities.
    logprobs: Option<u64>,
    hit_limit: bool,
}

impl Choice {
    fn read(json: &str) -> Self {
        let field = |json, name: &str| fields(json).find(|(known, _)| *known == name).map(|(_, value)| value);
        let inner = |name: &str, inner: &str| {
            let value = field(json, name).filter(|value| value.starts_with('{'))?;
            field(value, inner)
        };
        let length = |list: &str| u64::try_from(items(list).count()).ok();
        // A message with calls counts whole: arguments are tokens too.
        let text = inner("message", "content").filter(|text| text.starts_with('"'));
        let text = text.or_else(|| field(json, "message")).or_else(|| field(json, "text")).unwrap_or_default();
        Self {
            bytes: u64::try_from(text.len()).unwrap_or(u64::MAX),
            logprobs: inner("logprobs", "content").filter(|list| list.starts_with('[')).and_then(length),
            hit_limit: field(json, "finish_reason") == Some("\"length\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(choices: &str, limit: Option<u64>) -> (u64, bool) {
        let answer = Object::read_answer(format!("{{\"choices\":[{choices}]}}").into()).unwrap();
        let first = Usage { input: 9, output: 8, ..Usage::default() };
        let usage = of_all_choices(&answer, first, limit);
        assert_eq!(usage.input, 9);
        (usage.output, usage.estimated)
    }

    #[test]
    fn what_is_known_is_counted_and_the_rest_is_estimated() {
        let stop = r#"{"message":{"content":"12345678"},"finish_reason":"stop"}"#;
        let long = r#"{"message":{"content":"1234"},"finish_reason":"length"}"#;
        let logged = r#"{"message":{"content":"1"},"logprobs":{"content":[{},{},{}]},"finish_reason":"stop"}"#;
        let text = r#"{"text":"1234567890","finish_reason":"stop"}"#;
        assert_eq!(counted(stop, None), (8, false));
        assert_eq!(counted("", None), (8, false));
        assert_eq!(counted(&[stop, long].join(","), Some(8)), (16, false));
        assert_eq!(counted(&[stop, logged].join(","), None), (11, false));
        assert_eq!(counted(&[stop, stop].join(","), Some(50)), (16, true));
        assert_eq!(counted(&[stop, long].join(","), None), (8 + 5, true));
        assert_eq!(counted(&[text, text].join(","), None), (16, true));
        assert_eq!(counted("1,2", None), (8, true));
    }
}
