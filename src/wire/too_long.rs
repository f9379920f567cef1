//! Requests that are longer than a model reads: by which words providers say so, and by which words each dialect's callers
//! know it. Coding agents shorten their conversation when they read these.

use std::borrow::Cow;

use crate::chat::{Code, Error};

/// Codes and types of errors that say it.
const CODES: [&str; 4] = [
    "context_length_exceeded",
    "exceed_context_size_error",
    "model_context_window_exceeded",
    "context_window_exceeded",
];

/// Words of messages that say it, at providers that have no code for it: all of a line stand in the message.
const WORDS: [[&str; 2]; 22] = [
    // Anthropic.
    ["prompt is too long", ""],
    ["exceed context limit", ""],
    // OpenAI, and servers that repeat its words: vLLM, DeepSeek, Mistral, OpenRouter, Llama at Bedrock.
    ["maximum context length", ""],
    ["exceeds the context window", ""],
    ["exceed the configured limit", "tokens"],
    ["context_length_exceeded", ""],
    // Google.
    ["input token count", "exceeds the maximum"],
    ["input context is too long", ""],
    // Amazon.
    ["input is too long", ""],
    ["input tokens exceeded", ""],
    ["exceeds the maximum number of input tokens", ""],
    // llama.cpp, Ollama, LM Studio.
    ["exceeds the available context size", ""],
    ["exceeds the context length", ""],
    ["exceed_context_size", ""],
    ["prompt too long", ""],
    ["greater than the context length", ""],
    // vLLM.
    ["longer than the maximum model length", ""],
    ["model's context length is only", ""],
    // TGI and Together.
    ["`inputs` tokens + `max_new_tokens` must be", ""],
    // xAI.
    ["maximum prompt length is", ""],
    // Cohere, Groq and Cerebras.
    ["too many tokens", "prompt"],
    ["reduce the length of the messages", ""],
];

/// The shortest number that can be a count of tokens here.
const DIGITS: usize = 3;

/// Whether an error's code or type says it.
pub fn is_code(code: &str) -> bool {
    CODES.contains(&code)
}

/// Whether an error's message says it.
pub fn is_said(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    WORDS.iter().any(|words| words.iter().all(|word| message.contains(word)))
}

/// An error that a stream reports, with the code that its message or its own code means.
pub fn recognized(error: Error) -> Error {
    let is_coded = error.upstream_code.as_deref().is_some_and(is_code);
    let may_be = matches!(error.code, Code::InvalidRequest | Code::UpstreamError);
    let is_too_long = is_coded || (may_be && is_said(&error.message));
    if !is_too_long {
        return error;
    }
    Error { code: Code::ContextLengthExceeded, upstream_code: None, status: None, ..error }
}

/// The message for callers of Anthropic's API. Claude Code begins to compact by the first words, by as much as the numbers
/// say. It also knows Anthropic's words for a limit of the answer that does not fit, and lowers the limit.
pub fn for_anthropic(error: &Error) -> Cow<'_, str> {
    worded(error, &["prompt is too long:", "exceed context limit"], |numbers| match numbers {
        Some((length, most)) => format!("prompt is too long: {length} tokens > {most} maximum"),
        None => "prompt is too long".to_owned(),
    })
}

/// The message for callers of OpenAI's APIs.
pub fn for_openai(error: &Error) -> Cow<'_, str> {
    worded(error, &["maximum context length", "context window"], |numbers| match numbers {
        Some((length, most)) => {
            format!("This model's maximum context length is {most} tokens, and the request has {length} tokens")
        }
        None => "This model's maximum context length is exceeded".to_owned(),
    })
}

/// The message for callers of Google's API.
pub fn for_gemini(error: &Error) -> Cow<'_, str> {
    worded(error, &["exceeds the maximum number of tokens allowed"], |numbers| match numbers {
        Some((length, most)) => {
            format!("The input token count ({length}) exceeds the maximum number of tokens allowed ({most})")
        }
        None => "The input token count exceeds the maximum number of tokens allowed".to_owned(),
    })
}

/// The error's message, after words by which its callers know it, unless it has them.
fn worded<'a>(error: &'a Error, known: &[&str], words: impl Fn(Option<(u64, u64)>) -> String) -> Cow<'a, str> {
    let message = &error.message;
    let has = |word: &&str| message.to_ascii_lowercase().contains(word);
    if error.code != Code::ContextLengthExceeded || known.iter().any(has) {
        return message.into();
    }
    format!("{}: {message}", words(numbers(message))).into()
}

/// How many tokens the request has, and how many the model reads, where the message has both: its first two numbers, of which
/// the first is the larger.
fn numbers(message: &str) -> Option<(u64, u64)> {
    let mut found = message
        .split_whitespace()
        .map(|word| word.trim_matches(|letter: char| letter.is_ascii_punctuation()).replace(',', ""))
        .filter(|word| word.len() >= DIGITS)
        .filter_map(|word| word.parse::<u64>().ok());
    let (first, second) = (found.next()?, found.next()?);
    // One that limits the sum of two numbers has neither of these.
    let is_sum = message.contains("max_new_tokens");
    (first != second && !is_sum).then(|| (first.max(second), first.min(second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(message: &str) -> Error {
        Error::new(Code::ContextLengthExceeded, message)
    }

    #[test]
    fn each_providers_words_are_known() {
        for message in [
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130010 tokens.",
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens.",
            "prompt is too long: 203456 tokens > 200000 maximum",
            "input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000, decrease either",
            "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
            "Input is too long for requested model.",
            "Input Tokens Exceeded: Number of input tokens exceeds maximum length.",
            "the request exceeds the available context size, try increasing it",
            "request (5120 tokens) exceeds the available context size (4096 tokens), try increasing it",
            "The decoder prompt (length 5000) is longer than the maximum model length of 4096.",
            "You passed 4097 input tokens, but the model's context length is only 4096 tokens.",
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 and 200",
            "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
            "too many tokens: total number of tokens in the prompt cannot exceed 4081",
            "Please reduce the length of the messages or completion.",
            "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
            "the input length exceeds the context length",
        ] {
            assert!(is_said(message), "{message}");
        }
        for message in
            ["max_tokens is too large: 99999. This model supports at most 16384 completion tokens.", "too long a name"]
        {
            assert!(!is_said(message), "{message}");
        }
    }

    #[test]
    fn each_dialects_callers_read_the_words_they_know() {
        let openai = error("This model's maximum context length is 8192 tokens. However, you requested 9000 tokens.");
        let bare = error("Input is too long for requested model.");
        let google = error("The input token count (1,200,000) exceeds the maximum number of tokens allowed (1048576).");
        let claude = error("prompt is too long: 203456 tokens > 200000 maximum");
        assert_eq!(for_anthropic(&openai), format!("prompt is too long: 9000 tokens > 8192 maximum: {openai}"));
        assert_eq!(for_anthropic(&google), format!("prompt is too long: 1200000 tokens > 1048576 maximum: {google}"));
        assert_eq!(for_anthropic(&bare), "prompt is too long: Input is too long for requested model.");
        assert_eq!(for_anthropic(&claude), claude.message);
        let limit = error("input length and `max_tokens` exceed context limit: 190000 + 64000 > 200000");
        assert_eq!(for_anthropic(&limit), limit.message);
        assert_eq!(for_openai(&openai), openai.message);
        let words = "This model's maximum context length is 200000 tokens, and the request has 203456 tokens";
        assert_eq!(for_openai(&claude), format!("{words}: {claude}"));
        assert!(for_openai(&bare).starts_with("This model's maximum context length is exceeded: "));
        assert_eq!(for_gemini(&google), google.message);
        let words = "The input token count (9000) exceeds the maximum number of tokens allowed (8192)";
        assert_eq!(for_gemini(&openai), format!("{words}: {openai}"));
        let other = Error::new(Code::InvalidRequest, "no");
        assert_eq!(
            (for_anthropic(&other), for_openai(&other), for_gemini(&other)),
            ("no".into(), "no".into(), "no".into())
        );
    }

    #[test]
    fn an_error_of_a_stream_is_known_by_its_code_or_its_words() {
        let coded = Error {
            upstream_code: Some("context_length_exceeded".to_owned()),
            ..Error::new(Code::UpstreamError, "no")
        };
        assert_eq!(recognized(coded).code, Code::ContextLengthExceeded);
        assert_eq!(
            recognized(Error::new(Code::InvalidRequest, "prompt is too long")).code,
            Code::ContextLengthExceeded
        );
        assert_eq!(recognized(Error::new(Code::UpstreamAuth, "prompt is too long")).code, Code::UpstreamAuth);
        assert_eq!(recognized(Error::new(Code::UpstreamError, "no")).code, Code::UpstreamError);
    }
}
