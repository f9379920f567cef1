//! Requests and answers that a provider's filter does not let pass: by which words providers say so.

use serde_json::Value;

use crate::chat::{Choice, Code, Content, Error, Part, Response, Stop};

/// Codes and types of errors that say it.
const CODES: [&str; 11] = [
    // Azure, OpenAI and Moonshot.
    "content_filter",
    "content_policy_violation",
    "image_content_policy_violation",
    "moderation_blocked",
    "cyber_policy",
    "ResponsibleAIPolicyViolation",
    // Zhipu.
    "1301",
    // Alibaba.
    "data_inspection_failed",
    "DataInspectionFailed",
    // Google and Mistral.
    "PROHIBITED_CONTENT",
    "content_moderation",
];

/// Words of messages that say it, at providers that have no code for it.
const WORDS: [&str; 12] = [
    // OpenAI, whose code `invalid_prompt` says other things too.
    "violating our usage policy",
    // DeepSeek.
    "content exists risk",
    // Zhipu.
    "unsafe or sensitive content",
    "不安全或敏感内容",
    "content management policy",
    "content filter",
    "content filtering policy",
    "content policy",
    "content moderation",
    "safety system",
    "flagged by our moderation",
    "blocked by guardrail",
];

/// Whether a provider's error says that a filter refused the request.
#[must_use]
pub fn is_refusal(error: &Error) -> bool {
    let is_coded = error.upstream_code.as_deref().is_some_and(|code| CODES.contains(&code));
    let message = error.message.to_ascii_lowercase();
    is_coded || WORDS.iter().any(|words| message.contains(words))
}

/// Whether the error that a provider reports says it beside its code and its message: by its type, or as OpenRouter does, whose
/// `metadata` says what was flagged.
fn is_flagged(reported: &Value) -> bool {
    let is_typed = reported.get("type").and_then(Value::as_str).is_some_and(|kind| CODES.contains(&kind));
    let has = |name: &str| match reported.get("metadata").and_then(|metadata| metadata.get(name)) {
        Some(Value::Array(reasons)) => !reasons.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    };
    is_typed || has("reasons") || has("flagged_input")
}

/// An error that was read of what a provider reports, with the code for a filter where it says that.
#[must_use]
pub fn recognized(error: Error, reported: &Value) -> Error {
    let may_be = matches!(error.code, Code::InvalidRequest | Code::UpstreamError)
        && error.status.is_none_or(|status| status < 500);
    match may_be && (is_refusal(&error) || is_flagged(reported)) {
        true => Error { code: Code::ContentFilter, ..error },
        false => error,
    }
}

/// Whether a filter ended every choice of a whole answer, or refused it without a word.
#[must_use]
pub fn ended(answer: &Response) -> bool {
    let is_filtered = |choice: &Choice| match choice.stop {
        Some(Stop::Filtered) => true,
        Some(Stop::Refused) => !choice.parts.iter().any(says_something),
        _ => false,
    };
    !answer.choices.is_empty() && answer.choices.iter().all(is_filtered)
}

fn says_something(part: &Part) -> bool {
    match &part.content {
        Content::Text { text, .. } | Content::Refusal(text) => !text.is_empty(),
        Content::Thinking(_) | Content::RedactedThinking(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_filter_is_known_by_its_code_or_its_words() {
        let coded =
            |code: &str| Error { upstream_code: Some(code.to_owned()), ..Error::new(Code::UpstreamError, "no") };
        assert!(is_refusal(&coded("content_filter")) && is_refusal(&coded("moderation_blocked")));
        assert!(!is_refusal(&coded("invalid_value")));
        for message in [
            "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
            "Output blocked by content filtering policy",
            "Your request was rejected as a result of our safety system.",
            "Invalid prompt: your prompt was flagged as potentially violating our usage policy. Please try again.",
            "Content Exists Risk",
            "系统检测到输入或生成内容可能包含不安全或敏感内容",
        ] {
            assert!(is_refusal(&Error::new(Code::UpstreamError, message)), "{message}");
        }
        assert!(!is_refusal(&Error::new(Code::UpstreamError, "`content` must be a text")));
        assert!(!is_refusal(&coded("invalid_prompt")));
    }

    #[test]
    fn a_filter_is_known_by_what_stands_beside_its_words() {
        let read = |status: u16, reported: Value| {
            let error = Error { status: Some(status), ..Error::new(Code::UpstreamError, "no") };
            recognized(error, &reported).code
        };
        for reported in [
            json!({"type": "content_filter"}),
            json!({"metadata": {"reasons": ["violence"]}}),
            json!({"metadata": {"flagged_input": "…"}}),
        ] {
            assert_eq!(read(403, reported.clone()), Code::ContentFilter, "{reported}");
            assert_eq!(read(502, reported.clone()), Code::UpstreamError, "{reported}");
        }
        for reported in
            [json!({"metadata": {"reasons": []}}), json!({"metadata": {"raw": "x"}}), json!("no"), json!({})]
        {
            assert_eq!(read(403, reported.clone()), Code::UpstreamError, "{reported}");
        }
    }

    #[test]
    fn an_answer_is_filtered_where_every_choice_is() {
        let choice = |stop: Stop, text: &str| Choice {
            parts: vec![Part::new(Content::Text { text: text.to_owned(), citations: Vec::new() })],
            stop: Some(stop),
            logprobs: None,
        };
        let answer = |choices: Vec<Choice>| Response { choices, ..Response::default() };
        assert!(ended(&answer(vec![choice(Stop::Filtered, "partly")])));
        assert!(ended(&answer(vec![choice(Stop::Refused, "")])));
        assert!(!ended(&answer(vec![choice(Stop::Refused, "I would rather not.")])));
        assert!(!ended(&answer(vec![choice(Stop::Filtered, ""), choice(Stop::End, "Hello")])));
        assert!(!ended(&answer(Vec::new())) && !ended(&answer(vec![choice(Stop::End, "")])));
    }
}
