//! Values of providers and callers that need a check: counts of tokens, arguments of calls.

use serde_json::{Value, json};

use crate::chat::Emulated;
use crate::wire::exact_numbers;

/// More tokens than any model reads or writes in a call: a count above it is a fault of the provider's.
pub const MOST_TOKENS: u64 = 100_000_000;

/// A count of tokens; `None` where it cannot be true.
pub fn tokens(value: &Value) -> Option<u64> {
    let whole = || whole(exact_numbers::as_f64(value)?);
    value.as_u64().or_else(whole).filter(|tokens| *tokens <= MOST_TOKENS)
}

/// A count of tokens, from its JSON text; `None` where it cannot be true.
pub fn tokens_in(json: &str) -> Option<u64> {
    let whole = || whole(json.parse().ok()?);
    json.parse().ok().or_else(whole).filter(|tokens| *tokens <= MOST_TOKENS)
}

/// A whole number that is written with a point or an exponent, as some languages write all numbers: `1000.0`, `1e3`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "it is whole, and lies between 0 and 10^8"
)]
fn whole(number: f64) -> Option<u64> {
    let is_count = number.fract() == 0.0 && (0.0..=MOST_TOKENS as f64).contains(&number);
    is_count.then_some(number as u64)
}

/// A tool call's arguments as an object, its numbers with all their digits. Empty arguments mean `{}`, and so does the `null`
/// that some models write for a tool without parameters.
pub fn arguments(text: &str) -> Option<Value> {
    if matches!(text.trim(), "" | "null") {
        return Some(json!({}));
    }
    exact_numbers::read(text.as_bytes()).ok().filter(Value::is_object)
}

/// The member that holds arguments which are no JSON object, as a model wrote them.
const MALFORMED: &str = "malformed_arguments";

/// A call's arguments in the history of a request, as an object in any case: an API that takes only objects would refuse every
/// later turn for one call that a model got wrong. Text that is no object is kept in one member, which is noted.
pub fn sent_arguments(text: &str, emulated: &mut Emulated) -> Value {
    arguments(text).unwrap_or_else(|| {
        emulated.note("tool_calls.arguments");
        json!({ MALFORMED: text })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_beyond_belief_is_none() {
        for (json, count) in [
            ("0", Some(0)),
            ("100000000", Some(MOST_TOKENS)),
            ("100000001", None),
            ("-1", None),
            ("\"1\"", None),
            ("1.0", Some(1)),
            ("1e3", Some(1_000)),
            ("12.5E1", Some(125)),
            ("100000000.0", Some(MOST_TOKENS)),
            ("1.5", None),
            ("-1.0", None),
            ("1e9", None),
            ("1e300", None),
        ] {
            assert_eq!(tokens_in(json), count, "{json}");
            assert_eq!(tokens(&serde_json::from_str(json).unwrap()), count, "{json}");
            assert_eq!(tokens(&exact_numbers::read(json.as_bytes()).unwrap()), count, "{json}");
        }
    }

    #[test]
    fn sent_arguments_are_an_object_in_any_case() {
        for text in ["[1]", "\"x\"", "{\"a\":", "{\"a\":1} {\"a\":2}", "1", "true"] {
            let mut emulated = Emulated::default();
            assert_eq!(sent_arguments(text, &mut emulated), json!({ MALFORMED: text }));
            assert_eq!(emulated.names(), ["tool_calls.arguments"]);
        }
        let mut emulated = Emulated::default();
        assert_eq!(sent_arguments("{\"a\":1}", &mut emulated).to_string(), "{\"a\":1}");
        assert!(emulated.is_empty());
    }

    #[test]
    fn arguments_are_an_object_or_none() {
        for (text, expected) in [
            ("", Some("{}")),
            (" \n", Some("{}")),
            ("{\"a\":1}", Some("{\"a\":1}")),
            ("[]", None),
            (" null ", Some("{}")),
            ("\"x\"", None),
            ("{", None),
        ] {
            assert_eq!(arguments(text).map(|value| value.to_string()).as_deref(), expected, "{text:?}");
        }
        let long = "{\"n\":123456789012345678901234567890}";
        assert_eq!(arguments(long).map(|value| exact_numbers::write(&value)).as_deref(), Some(long));
    }
}
