//! Requests and answers that a provider's filter does not let pass: by which words providers say so.

use crate::chat::{Choice, Content, Error, Part, Response, Stop};

/// Codes of errors that say it.
const CODES: [&str; 8] = [
    // Azure and OpenAI.
    "content_filter",
    "content_policy_violation",
    "moderation_blocked",
    "ResponsibleAIPolicyViolation",
    // Alibaba.
    "data_inspection_failed",
    "DataInspectionFailed",
    // Google and Mistral.
    "PROHIBITED_CONTENT",
    "content_moderation",
];

/// Words of messages that say it, at providers that have no code for it.
const WORDS: [&str; 8] = [
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
    use super::*;
    use crate::chat::Code;

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
        ] {
            assert!(is_refusal(&Error::new(Code::UpstreamError, message)), "{message}");
        }
        assert!(!is_refusal(&Error::new(Code::UpstreamError, "`content` must be a text")));
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
