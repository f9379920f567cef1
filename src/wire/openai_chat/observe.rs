//! Observes a whole answer that passes unchanged.

use bytes::Bytes;

use super::stop::read_stop;
use crate::chat::Tier;
use crate::wire::dialect::{BadAnswer, Observed};
use crate::wire::json::{Object, fields, items};
use crate::wire::openai::{is_failure, read_usage};

/// Reads the counts of an answer that its call is charged by.
///
/// # Errors
/// Where the body is no chat completion.
pub(super) fn observe(body: &Bytes) -> Result<Observed, BadAnswer> {
    let object = Object::read_answer(body.clone())?;
    let Some(choices) = object.get("choices") else {
        return Err(BadAnswer("it has no `choices`".to_owned()));
    };
    if !choices.starts_with('[') {
        return Err(BadAnswer("its `choices` are no list".to_owned()));
    }
    let mut list = items(choices).peekable();
    let ended = |choice: &str| {
        let (mut reason, mut is_refused, mut failed) = (None, false, false);
        for (name, value) in fields(choice) {
            match name {
                "finish_reason" => reason = value.strip_prefix('"').and_then(|text| text.strip_suffix('"')),
                "message" => is_refused = refuses(value),
                "error" => failed = value != "null",
                _ => {}
            }
        }
        let is_good = |reason: &str| !is_failure(reason) && read_stop(reason, is_refused, false).is_good();
        reason.is_some_and(is_good) && !failed
    };
    let failed = object.get("error").is_some_and(|error| error != "null");
    let tier = Tier::of_json(object.get("service_tier"));
    Ok(Observed {
        usage: object.get("usage").and_then(read_usage).map(|usage| usage.in_tier(tier)),
        ended_well: !failed && list.peek().is_some() && list.all(ended),
    })
}

/// Whether a message has the text of a refusal.
fn refuses(message: &str) -> bool {
    let is_text = |(name, value): (&str, &str)| name == "refusal" && value.len() > 2 && value.starts_with('"');
    message.starts_with('{') && message.contains("\"refusal\"") && fields(message).any(is_text)
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
