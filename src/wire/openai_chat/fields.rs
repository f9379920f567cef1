//! What a field of an OpenAI request may hold, as a table, and the check of a request against such a table.

use std::ops::RangeInclusive;

use crate::chat::Error;
use crate::wire::json::Object;

/// What a value must be.
#[derive(Clone, Debug)]
pub enum Check {
    /// A text that is not empty.
    Text,
    /// `true` or `false`.
    Bool,
    /// A number in this range.
    Number(RangeInclusive<f64>),
    /// A whole number in this range.
    Integer(RangeInclusive<i64>),
    /// An object.
    Object,
    /// A list that is not empty.
    List,
    /// A list.
    AnyList,
    /// A text, or a list that is not empty.
    TextOrList,
    /// A text that is not empty, or an object.
    TextOrObject,
}

/// One field: its name, what it may hold, whether `null` is the same as leaving it out.
pub type Field = (&'static str, Check, bool);

/// Checks every field of `object` that the table knows; others pass.
///
/// # Errors
/// A 400 that names the first field at fault.
pub fn check_fields(object: &Object, table: &[Field]) -> Result<(), Error> {
    for (name, json) in object.iter() {
        let Some((_, check, nullable)) = table.iter().find(|(known, ..)| *known == name) else { continue };
        if json == "null" && *nullable {
            continue;
        }
        if !check.holds(json) {
            return Err(Error::field(name, format!("`{name}` must be {}; it is {}", check.text(), shown(json))));
        }
    }
    Ok(())
}

impl Check {
    /// Whether a value, as its JSON text, is what the check asks.
    #[must_use]
    pub fn holds(&self, json: &str) -> bool {
        let list = || json.starts_with('[') && !json[1..].trim_start().starts_with(']');
        let text = || json.starts_with('"') && json.len() > 2;
        match self {
            Self::Text => text(),
            Self::Bool => json == "true" || json == "false",
            Self::Number(range) => json.parse().is_ok_and(|number: f64| range.contains(&number)),
            Self::Integer(range) => json.parse().is_ok_and(|number: i64| range.contains(&number)),
            Self::Object => json.starts_with('{'),
            Self::List => list(),
            Self::AnyList => json.starts_with('['),
            Self::TextOrList => text() || list(),
            Self::TextOrObject => text() || json.starts_with('{'),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Text => "a text that is not empty".to_owned(),
            Self::Bool => "true or false".to_owned(),
            Self::Number(range) => format!("a number from {} to {}", range.start(), range.end()),
            Self::Integer(range) if *range.end() == i64::MAX => format!("a whole number of {} or more", range.start()),
            Self::Integer(range) => format!("a whole number from {} to {}", range.start(), range.end()),
            Self::Object => "an object".to_owned(),
            Self::List => "a list that is not empty".to_owned(),
            Self::AnyList => "a list".to_owned(),
            Self::TextOrList => "a text or a list, not empty".to_owned(),
            Self::TextOrObject => "a text or an object".to_owned(),
        }
    }
}

/// Where the text of the first field of this name begins that holds a text, whatever space stands around its colon. Only
/// looks: within a text a quote is escaped, so that a name in quotes is a name.
pub(super) fn text_of(json: &[u8], name: &str) -> Option<usize> {
    memchr::memmem::find_iter(json, name.as_bytes()).find_map(|at| {
        let quoted = at > 0 && json[at - 1] == b'"';
        let rest = json[at + name.len()..].strip_prefix(b"\"").filter(|_| quoted)?;
        let value = rest.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start().strip_prefix(b"\"")?;
        Some(json.len() - value.len())
    })
}

/// The beginning of a value, for a message.
fn shown(json: &str) -> String {
    let mut shown: String = json.chars().take(40).collect();
    if shown.len() < json.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_found_with_and_without_spaces() {
        for (json, text) in [
            (r#"{"content":"Hi"}"#, Some("Hi\"}")),
            (r#"{"content" : "Hi"}"#, Some("Hi\"}")),
            (r#"{"content":null,"x":{"content": "Ho"}}"#, Some("Ho\"}}")),
            (r#"{"content":null}"#, None),
            (r#"{"x":"\"content\":\"Hi\""}"#, None),
            (r#"{"my_content":"Hi","contents":"Ho"}"#, None),
        ] {
            assert_eq!(text_of(json.as_bytes(), "content").map(|at| &json[at..]), text, "{json}");
        }
    }
}
