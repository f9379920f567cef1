//! Targets that answer nobody for now, whatever is asked: out of credit, retired, or not there. By which statuses, codes and words
//! providers say so.

use crate::chat::{Code, Error};

/// Statuses that say it. 424 and 425 stand for a server behind the provider's that failed or is not ready, 451 for a place where
/// the model may not be used, 498 for a token of the provider's own that lapsed.
const STATUSES: [u16; 8] = [402, 404, 405, 410, 424, 425, 451, 498];

/// Codes of errors that say it, whatever their status.
const CODES: [&str; 5] = [
    // OpenAI and servers like it, Groq, Azure.
    "model_not_found",
    "insufficient_quota",
    "model_decommissioned",
    "DeploymentNotFound",
    // Together and others.
    "model_not_available",
];

/// Words of messages that say it, at providers whose code and status do not.
const WORDS: [&str; 5] = [
    // DeepSeek, Moonshot and Zhipu.
    "insufficient balance",
    // Anthropic.
    "credit balance is too low",
    // OpenRouter.
    "insufficient credits",
    // Groq.
    "has been decommissioned",
    "has been deprecated and is no longer",
];

/// Whether an error's status says it.
#[must_use]
pub fn is_status(status: u16) -> bool {
    STATUSES.contains(&status)
}

/// Whether an error with this status says it. What a request names beside the model may not be found for the request's own fault.
#[must_use]
pub fn is_gone(status: u16, error: &Error) -> bool {
    if matches!(error.code, Code::ContextLengthExceeded | Code::ContentFilter) {
        return false;
    }
    let names_other = error.param.as_deref().is_some_and(|param| param != "model");
    let is_coded = error.upstream_code.as_deref().is_some_and(|code| CODES.contains(&code));
    let message = error.message.to_ascii_lowercase();
    (is_status(status) && !(matches!(status, 404 | 424) && names_other))
        || is_coded
        || WORDS.iter().any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_gone_by_its_status_its_code_or_its_words() {
        let said = |message: &str| Error::new(Code::UpstreamError, message);
        let coded = |code: &str| Error { upstream_code: Some(code.to_owned()), ..said("no") };
        for status in [402, 404, 405, 410, 424, 425, 451, 498] {
            assert!(is_gone(status, &said("no")), "{status}");
        }
        for status in [400, 403, 413, 415, 422] {
            assert!(!is_gone(status, &said("no")), "{status}");
        }
        for code in ["model_decommissioned", "model_not_found", "insufficient_quota"] {
            assert!(is_gone(400, &coded(code)), "{code}");
        }
        assert!(!is_gone(400, &coded("invalid_value")));
        for message in ["Insufficient Balance", "Your credit balance is too low to access the Anthropic API."] {
            assert!(is_gone(400, &said(message)), "{message}");
        }
        let of = |param: &str| Error { param: Some(param.to_owned()), ..said("not found") };
        assert!(
            is_gone(404, &of("model")) && !is_gone(404, &of("previous_response_id")) && !is_gone(424, &of("tools"))
        );
        assert!(!is_gone(404, &Error::new(Code::ContentFilter, "no")));
    }
}
