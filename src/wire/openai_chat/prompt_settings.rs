//! Checks the settings of a prompt, which are fields of a chat request, before any call has them.

use serde_json::{Map, Value};

use super::check::FIELDS;
use super::prompted::prompt;
use crate::chat::{Code, Error, PromptMessage, Role};
use crate::wire::fields::{Check, Field, check_fields};

/// Fields that OpenAI's API lacks and many servers that speak it know.
const OTHERS: &[Field] = &[
    ("top_k", Check::Integer(-1..=i64::MAX), true),
    ("top_a", Check::Number(0.0..=1.0), true),
    ("min_p", Check::Number(0.0..=1.0), true),
    ("typical_p", Check::Number(0.0..=1.0), true),
    ("repetition_penalty", Check::Number(0.0..=100.0), true),
    ("repeat_penalty", Check::Number(0.0..=100.0), true),
    ("min_tokens", Check::Integer(0..=100_000_000), true),
    ("ignore_eos", Check::Bool, true),
    ("chat_template_kwargs", Check::Object, true),
    ("thinking", Check::Object, true),
    ("reasoning", Check::Object, true),
];

/// Names that other dialects have for a field, and the field.
const ELSEWHERE: [(&str, &str); 7] = [
    ("maxoutputtokens", "max_tokens"),
    ("maxtokenstosample", "max_tokens"),
    ("maxlength", "max_tokens"),
    ("stopsequences", "stop"),
    ("candidatecount", "n"),
    ("outputconfig", "response_format"),
    ("temp", "temperature"),
];

/// The fields that a setting may be; other names pass, since servers have fields of their own.
pub fn setting_names() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().chain(OTHERS).map(|(name, ..)| *name)
}

/// The field that the author of an unknown setting likely meant: another spelling or another dialect's word of it.
#[must_use]
pub fn meant(name: &str) -> Option<&'static str> {
    if name.len() > 64 {
        return None;
    }
    let bare = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let plain = bare(name);
    if plain.is_empty() {
        return None;
    }
    if let Some((_, field)) = ELSEWHERE.iter().find(|(other, _)| *other == plain) {
        return Some(field);
    }
    let near = setting_names().map(|field| (strsim::osa_distance(&plain, &bare(field)), field)).min()?;
    // Of a short word, every other short word is near.
    (near.0 * 3 <= near.1.len().min(7) && near.1.len() > 1).then_some(near.1)
}

/// What is wrong with settings: each field at fault, and the rest of a sentence about it.
#[must_use]
pub fn wrong_settings(settings: &Map<String, Value>) -> Vec<(String, String)> {
    settings
        .iter()
        .filter(|(name, _)| *name != "model")
        .filter_map(|(name, value)| wrong(name, value, settings))
        .collect()
}

/// What is wrong with one setting. It is read as a call's request would be, beside the tools that it may speak of.
fn wrong(name: &str, value: &Value, settings: &Map<String, Value>) -> Option<(String, String)> {
    let mut alone = Map::from_iter([(name.to_owned(), value.clone())]);
    if ["tool_choice", "parallel_tool_calls", "function_call"].contains(&name) {
        let tools = settings.iter().filter(|(name, _)| ["tools", "functions"].contains(&name.as_str()));
        alone.extend(tools.map(|(name, value)| (name.clone(), value.clone())));
    }
    let words = vec![PromptMessage::Text { role: Role::User, content: "x".to_owned() }];
    let read = || {
        let prompt = prompt(words, &alone, "m")?;
        check_fields(&prompt.settings, OTHERS)?;
        if FIELDS.iter().any(|(known, ..)| *known == name) { prompt.said().map(drop) } else { Ok(()) }
    };
    let error: Error = read().err()?;
    if error.code != Code::InvalidRequest {
        return None;
    }
    let path = error.param.filter(|path| path.starts_with(name)).unwrap_or_else(|| name.to_owned());
    let message = error.message.strip_prefix(&format!("`{path}` ")).map(str::to_owned);
    Some((path, message.unwrap_or(error.message)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(settings: &Value) -> Vec<(String, String)> {
        wrong_settings(settings.as_object().unwrap())
    }

    #[test]
    fn a_setting_is_held_against_what_a_call_may_say() {
        for settings in [
            json!({"temperature": 0, "top_p": 1, "max_tokens": 60, "stop": ["a"], "seed": -1, "model": 7}),
            json!({"response_format": {"type": "json_object"}, "reasoning_effort": "low", "logit_bias": {"1": 5}}),
            json!({"tools": [{"type": "function", "function": {"name": "f"}}], "tool_choice": "auto"}),
            json!({"top_k": 40, "min_p": 0.1, "guided_json": {}, "": 3, "repetition_penalty": 1.1}),
        ] {
            assert_eq!(found(&settings), [], "{settings}");
        }
        for (settings, path, words) in [
            (json!({"temperature": 9}), "temperature", "0 to 2"),
            (json!({"temperature": -0.1}), "temperature", "0 to 2"),
            (json!({"temperature": "warm"}), "temperature", "a number"),
            (json!({"top_p": 1.5}), "top_p", "0 to 1"),
            (json!({"max_tokens": "many"}), "max_tokens", "whole number"),
            (json!({"max_tokens": 0}), "max_tokens", "whole number"),
            (json!({"max_completion_tokens": -5}), "max_completion_tokens", "whole number"),
            (json!({"max_tokens": 1.5}), "max_tokens", "whole number"),
            (json!({"presence_penalty": 3}), "presence_penalty", "-2 to 2"),
            (json!({"frequency_penalty": "x"}), "frequency_penalty", "-2 to 2"),
            (json!({"n": 0}), "n", "1 to 128"),
            (json!({"seed": "x"}), "seed", "whole number"),
            (json!({"stop": 7}), "stop", "a text or a list"),
            (json!({"stop": [7]}), "stop[0]", "must be a text"),
            (json!({"top_k": "x"}), "top_k", "whole number"),
            (json!({"min_p": 2}), "min_p", "0 to 1"),
            (json!({"reasoning_effort": "hgih"}), "reasoning_effort", "high"),
            (json!({"response_format": "json"}), "response_format", "an object"),
            (json!({"tools": {}}), "tools", "a list"),
            (json!({"logprobs": "yes"}), "logprobs", "true or false"),
        ] {
            let found = found(&settings);
            assert_eq!(found.len(), 1, "{settings}: {found:?}");
            assert_eq!(found[0].0, path, "{found:?}");
            assert!(found[0].1.contains(words), "{settings}: {found:?}");
        }
    }

    #[test]
    fn the_setting_that_was_meant_is_named() {
        for (name, field) in [
            ("modle", "model"),
            ("temprature", "temperature"),
            ("Temperature", "temperature"),
            ("temp", "temperature"),
            ("max_token", "max_tokens"),
            ("maxTokens", "max_tokens"),
            ("max-tokens", "max_tokens"),
            ("max_output_tokens", "max_tokens"),
            ("maxOutputTokens", "max_tokens"),
            ("stop_sequences", "stop"),
            ("topp", "top_p"),
            ("stpo", "stop"),
            ("response_fromat", "response_format"),
            ("seeed", "seed"),
        ] {
            assert_eq!(meant(name), Some(field), "{name}");
        }
        for name in ["guided_json", "num_ctx", "x", "", "é", "mirostat", "extra_body", "transforms"] {
            assert_eq!(meant(name), None, "{name}");
        }
    }
}
