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

/// Words of messages that say it, at providers that have no code for it, by whose they are: both stand in the message.
const WORDS: [(&str, [&str; 2]); 29] = [
    ("Anthropic", ["prompt is too long", ""]),
    ("Anthropic", ["exceed context limit", ""]),
    // vLLM, DeepSeek, Mistral, OpenRouter and Llama at Bedrock repeat OpenAI's words.
    ("OpenAI", ["maximum context length", ""]),
    ("OpenAI", ["exceeds the context window", ""]),
    ("OpenAI", ["exceed the configured limit", "tokens"]),
    ("OpenAI", ["context_length_exceeded", ""]),
    ("Google", ["input token count", "exceeds the maximum"]),
    ("Google", ["input context is too long", ""]),
    ("Amazon", ["input is too long", ""]),
    ("Amazon", ["input tokens exceeded", ""]),
    ("Amazon", ["exceeds the maximum number of input tokens", ""]),
    ("llama.cpp", ["exceeds the available context size", ""]),
    ("llama.cpp", ["exceed_context_size", ""]),
    ("Ollama", ["exceeds the context length", ""]),
    ("Ollama", ["prompt too long", ""]),
    ("LM Studio", ["greater than the context length", ""]),
    ("LM Studio", ["tokens when context the overflows", ""]),
    ("LM Studio", ["loaded with context length of only", ""]),
    ("LM Studio", ["context size has been exceeded", ""]),
    ("vLLM", ["longer than the maximum model length", ""]),
    ("vLLM", ["model's context length is only", ""]),
    ("SGLang", ["input", "is longer than the model's context length"]),
    ("SGLang", ["input length", "exceeds the maximum allowed length"]),
    ("TGI and Together", ["`inputs` tokens + `max_new_tokens` must be", ""]),
    ("TGI", ["`inputs` must have less than", "tokens"]),
    ("DashScope", ["range of input length should be", ""]),
    ("xAI", ["maximum prompt length is", ""]),
    ("Cohere", ["too many tokens", "prompt"]),
    ("Groq and Cerebras", ["reduce the length of the messages", ""]),
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
    WORDS.iter().any(|(_, words)| words.iter().all(|word| message.contains(word)))
}

/// An error that a stream reports, with the code that its message or its own code means.
pub fn recognized(error: Error) -> Error {
    let is_coded = error.upstream_code.as_deref().is_some_and(is_code);
    let may_be = matches!(error.code, Code::InvalidRequest | Code::UpstreamError | Code::RequestTooLarge);
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

/// Words right before the number of tokens that the model reads.
const BEFORE_LIMIT: [&str; 9] = [
    "context length is",
    "context length of",
    "model length of",
    "prompt length is",
    "configured limit of",
    "context limit of",
    "available context size",
    "cannot exceed",
    "tokens allowed",
];

/// How far behind these words the number begins at most: `only`, `now`, a bracket may stand between.
const BETWEEN: usize = 8;

/// How many tokens the request has, and how many the model reads, where the message has both.
fn numbers(message: &str) -> Option<(u64, u64)> {
    let words: Vec<Word<'_>> = message.split_whitespace().map(|text| Word::of(message, text)).collect();
    if let Some(summed) = summed(&words) {
        return Some(summed);
    }
    let found: Vec<&Word<'_>> = words.iter().filter(|word| word.digits >= DIGITS && word.number.is_some()).collect();
    let values = || found.iter().filter_map(|word| word.number);
    if let Some(most) = limit(message, &words, &found) {
        let length = values().filter(|number| *number > most).max()?;
        return Some((length, most));
    }
    // Without a word that says which is which: the first two, of which the larger is too long.
    let (first, second) = (values().next()?, values().nth(1)?);
    (first != second).then(|| (first.max(second), first.min(second)))
}

/// A word of a message, and the number that it is.
struct Word<'a> {
    text: &'a str,
    at: usize,
    number: Option<u64>,
    digits: usize,
}

impl<'a> Word<'a> {
    fn of(message: &str, text: &'a str) -> Self {
        let bare = text.trim_matches(|letter: char| letter.is_ascii_punctuation()).replace(',', "");
        let at = text.as_ptr() as usize - message.as_ptr() as usize;
        Self { text, at, number: bare.parse().ok(), digits: bare.len() }
    }
}

/// Numbers of a sum: of what the request has and what it may write at most, which together are more than the model reads.
fn summed(words: &[Word<'_>]) -> Option<(u64, u64)> {
    let sums = words.windows(5).find_map(|five| {
        let [first, one, second, two, third] = five else { return None };
        let (first, second, third) = (first.number?, second.number?, third.number?);
        match (one.text, two.text) {
            // Anthropic: `190000 + 64000 > 200000`.
            ("+", ">") => Some((first.saturating_add(second), third)),
            // vLLM: `64000 > 200000 - 190000`.
            (">", "-") => Some((first.saturating_add(third), second)),
            _ => None,
        }
    });
    // TGI: `must be <= 4096. Given: 4000 `inputs` tokens and 200 `max_new_tokens``.
    let bounded = || {
        let place = words.iter().position(|word| word.text == "<=")?;
        let mut behind = words.get(place + 1..)?.iter().filter_map(|word| word.number);
        let most = behind.next()?;
        Some((behind.next()?.saturating_add(behind.next()?), most))
    };
    sums.or_else(bounded)
}

/// How many tokens the model reads, where words beside the number say so.
fn limit(message: &str, words: &[Word<'_>], found: &[&Word<'_>]) -> Option<u64> {
    let lower = message.to_ascii_lowercase();
    let is_behind = |end: usize| {
        let behind = |word: &&&Word<'_>| (end..=end + BETWEEN).contains(&word.at);
        found.iter().find(behind).and_then(|word| word.number)
    };
    let named = BEFORE_LIMIT.iter().find_map(|words| is_behind(lower.find(words)? + words.len()));
    // `> 200000 maximum`, `32768 maximum context length`.
    named.or_else(|| {
        let place = words.iter().position(|word| word.text.starts_with("maximum"))?;
        words.get(place.checked_sub(1)?).filter(|word| word.digits >= DIGITS)?.number
    })
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
            "The input (12345 tokens) is longer than the model's context length (8192 tokens).",
            "Input length (700001 tokens) exceeds the maximum allowed length (536826 tokens). Use a shorter input.",
            "Trying to keep the first 9000 tokens when context the overflows. However, the model is loaded with context \
             length of only 4096 tokens, which is not enough.",
            "Context size has been exceeded.",
            "Range of input length should be [1, 129024]",
            "Input validation error: `inputs` must have less than 4095 tokens. Given: 9000",
        ] {
            assert!(is_said(message), "{message}");
        }
        for message in [
            "max_tokens is too large: 99999. This model supports at most 16384 completion tokens.",
            "too long a name",
            "Range of max_tokens should be [1, 8192]",
            "`stop` must have less than 4 entries. Given: 9",
            "The input of the tool is longer than its schema allows",
            "The length of `user` exceeds the maximum allowed length (64 characters)",
            "Input validation error: `max_new_tokens` must be strictly positive",
            "the context of the tool call is unknown",
            "model is loaded with another adapter",
        ] {
            assert!(!is_said(message), "{message}");
        }
    }

    #[test]
    fn each_row_needs_all_of_its_words() {
        for (whose, words) in WORDS {
            assert!(is_said(&words.join(" x ")), "{whose}");
            let has_two = words.iter().all(|word| !word.is_empty());
            for word in words.iter().filter(|_| has_two) {
                assert!(!is_said(word), "{whose}: {word}");
            }
        }
    }

    proptest::proptest! {
        /// What servers say of other fields than the messages: none of it means the whole request.
        #[test]
        fn a_refusal_of_one_field_is_no_request_that_is_too_long(
            field in "(temperature|max_tokens|stop|user|tools|seed|metadata|top_logprobs|context|response_format)(\\[[0-9]\\])?",
            most in 1u32..2_000_000, got in 1u32..2_000_000,
        ) {
            for message in [
                format!("Invalid value for '{field}': must be at most {most}, and is {got}"),
                format!("Range of {field} should be [1, {most}]"),
                format!("`{field}` must have less than {most} characters. Given: {got}"),
                format!("The length of {field} ({got}) exceeds the maximum length ({most})"),
                format!("{field}: string too long. Expected at most {most}, got {got}"),
                format!("{field} is too large: {got}. This model supports at most {most} completion tokens"),
            ] {
                proptest::prop_assert!(!is_said(&message), "{}", message);
            }
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
    fn the_two_numbers_are_those_of_the_request_and_of_the_model() {
        for (message, told) in [
            (
                "input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000, decrease input length or \
                 `max_tokens` and try again",
                Some((209_573, 200_000)),
            ),
            ("input length and `max_tokens` exceed context limit: 199990 + 64 > 200000", Some((200_054, 200_000))),
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 4000. This model's maximum context length is 4096 \
                 tokens and your request has 1000 input tokens (4000 > 4096 - 1000).",
                Some((5_000, 4_096)),
            ),
            (
                "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens \
                 and 200 `max_new_tokens`",
                Some((4_200, 4_096)),
            ),
            (
                "Error code: 400 - This model's maximum context length is 8192 tokens. However, you requested 9000 tokens \
                 (8500 in the messages, 500 in the completion).",
                Some((9_000, 8_192)),
            ),
            (
                "This model's maximum context length is 4096 tokens. However, your request has 5120 input tokens. \
                 (parameter=input_tokens, value=5120)",
                Some((5_120, 4_096)),
            ),
            ("You passed 4097 input tokens, but the model's context length is only 4096 tokens.", Some((4_097, 4_096))),
            ("prompt is too long: 203456 tokens > 200000 maximum", Some((203_456, 200_000))),
            (
                "Prompt contains 40000 tokens, too large for model with 32768 maximum context length",
                Some((40_000, 32_768)),
            ),
            ("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", Some((5_000, 4_096))),
            ("request (5120 tokens) exceeds the available context size (4096 tokens)", Some((5_120, 4_096))),
            (
                "The input (12345 tokens) is longer than the model's context length (8192 tokens).",
                Some((12_345, 8_192)),
            ),
            ("`inputs` must have less than 4095 tokens. Given: 9000", Some((9_000, 4_095))),
            ("Range of input length should be [1, 129024]", None),
            (
                "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
                Some((537_812, 131_072)),
            ),
            ("This model's maximum context length is 4096 tokens. Please reduce the length.", None),
            ("too many tokens: total number of tokens in the prompt cannot exceed 4081", None),
            ("Input is too long for requested model.", None),
        ] {
            assert_eq!(numbers(message), told, "{message}");
        }
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
        assert_eq!(
            recognized(Error::new(Code::RequestTooLarge, "prompt is too long")).code,
            Code::ContextLengthExceeded
        );
        assert_eq!(recognized(Error::new(Code::RequestTooLarge, "too many bytes")).code, Code::RequestTooLarge);
        assert_eq!(recognized(Error::new(Code::UpstreamAuth, "prompt is too long")).code, Code::UpstreamAuth);
        assert_eq!(recognized(Error::new(Code::UpstreamError, "no")).code, Code::UpstreamError);
    }
}
