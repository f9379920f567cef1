//! How much a model wrote in an answer, for an estimate where its provider counts no tokens: texts, thoughts and calls, and
//! nothing of the JSON around them. A stream and a whole answer of the same words count the same.

use serde_json::Value;

pub use super::escaped::of_escaped;
use super::token_estimate::of_bytes;
use crate::chat::{Content, Delta, Event, Response};

/// How many tokens an answer is, roughly.
#[must_use]
pub fn tokens_of(response: &Response) -> u64 {
    let parts = response.choices.iter().flat_map(|choice| &choice.parts);
    of_bytes(parts.map(|part| of_content(&part.content)).sum())
}

/// Whether an answer says nothing: no text, no call of a tool, nothing else than thoughts.
#[must_use]
pub fn is_empty(response: &Response) -> bool {
    let mut parts = response.choices.iter().flat_map(|choice| &choice.parts);
    parts.all(|part| match &part.content {
        Content::Text { text, .. } | Content::Refusal(text) => text.is_empty(),
        Content::Thinking(_) => true,
        _ => false,
    })
}

/// How many bytes an event of a stream adds to what the model wrote.
#[must_use]
pub fn of_event(event: &Event) -> usize {
    match event {
        Event::Open { content, .. } => of_content(content),
        Event::Delta { delta: Delta::Text(text) | Delta::Arguments(text), .. } => text.len(),
        _ => 0,
    }
}

fn of_content(content: &Content) -> usize {
    match content {
        Content::Text { text, .. } | Content::Refusal(text) | Content::Thinking(text) => text.len(),
        Content::ToolCall { name, arguments, .. } => name.len() + arguments.len(),
        _ => 0,
    }
}

/// How many tokens an answer is, roughly, whose parts the internal form does not all have, such as traces of hosted tools.
#[must_use]
pub fn tokens_in(answer: &Value) -> u64 {
    of_bytes(in_value(answer))
}

fn in_value(value: &Value) -> usize {
    const WORDS: [&str; 6] = ["text", "content", "thinking", "reasoning_content", "refusal", "arguments"];
    let of_field = |(name, value): (&String, &Value)| match value {
        Value::String(text) if WORDS.contains(&name.as_str()) => text.len(),
        _ => in_value(value),
    };
    match value {
        Value::Object(fields) => fields.iter().map(of_field).sum(),
        Value::Array(items) => items.iter().map(in_value).sum(),
        _ => 0,
    }
}

/// How many bytes the text is that a valid JSON string means; 0 for another value.
#[must_use]
pub fn of_json(json: &str) -> usize {
    json.strip_prefix('"').map_or(0, |text| of_escaped(text.strip_suffix('"').unwrap_or(text).as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_escaped_text_counts_as_what_it_means(text in ".{0,40}") {
            let plain = serde_json::to_string(&text).unwrap();
            let units: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            prop_assert_eq!(of_json(&plain), text.len());
            prop_assert_eq!(of_escaped(units.as_bytes()), text.len());
        }
    }

    #[test]
    fn what_is_no_text_counts_nothing() {
        for json in ["null", "3", "{}", "[\"text\"]", "", "\""] {
            assert_eq!(of_json(json), 0, "{json}");
        }
    }
}
