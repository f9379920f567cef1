//! Observes a whole answer that passes unchanged.

use bytes::Bytes;

use crate::chat::Tier;
use crate::wire::dialect::{BadAnswer, Observed};
use crate::wire::json::{Object, fields, items};
use crate::wire::openai::{is_failure, read_usage};

/// Reads the counts of an answer that its call is charged by.
///
/// # Errors
/// Where the body is no chat completion.
pub(super) fn observe(body: &Bytes) -> Result<Observed, BadAnswer> {
    let object = Object::read_answer(body.clone()).map_err(|error| BadAnswer(error.to_string()))?;
    let Some(choices) = object.get("choices") else {
        return Err(BadAnswer("it has no `choices`".to_owned()));
    };
    if !choices.starts_with('[') {
        return Err(BadAnswer("its `choices` are no list".to_owned()));
    }
    let mut list = items(choices).peekable();
    let is_reason = |value: &str| value.starts_with('"') && !is_failure(value.trim_matches('"'));
    let ended = |choice: &str| {
        let (mut ended, mut failed) = (false, false);
        for (name, value) in fields(choice) {
            ended |= name == "finish_reason" && is_reason(value);
            failed |= name == "error" && value != "null";
        }
        ended && !failed
    };
    let failed = object.get("error").is_some_and(|error| error != "null");
    let tier = Tier::of_json(object.get("service_tier"));
    Ok(Observed {
        usage: object.get("usage").and_then(read_usage).map(|usage| usage.in_tier(tier)),
        ended_well: !failed && list.peek().is_some() && list.all(ended),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_listened_to() {
        let body = br#"{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#;
        let observed = observe(&Bytes::from_static(body)).unwrap();
        assert_eq!(observed.usage.map(|usage| (usage.input, usage.output)), Some((3, 1)));
        assert!(observed.ended_well);
    }

    #[test]
    fn what_is_no_completion_is_told() {
        for body in ["", "<html>", "{\"choices\":", "{}", "{\"choices\":3}", "[]"] {
            assert!(observe(&Bytes::copy_from_slice(body.as_bytes())).is_err(), "{body}");
        }
        for body in ["{\"choices\":[]}", "{\"choices\":[{\"finish_reason\":null}]}"] {
            assert!(!observe(&Bytes::from_static(body.as_bytes())).unwrap().ended_well, "{body}");
        }
    }
}
