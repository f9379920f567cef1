//! What the top-level fields of a request may hold, as a table, and the check of a request against such a table.

use std::ops::RangeInclusive;

use super::error::FieldError;
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

/// Checks every field of `object` that stands in the table; others pass.
///
/// # Errors
/// The first field that holds what it may not.
pub fn check_fields(object: &Object, table: &[Field]) -> Result<(), FieldError> {
    for (name, json) in object.iter() {
        let Some((_, check, nullable)) = table.iter().find(|(known, ..)| *known == name) else { continue };
        if json == "null" && *nullable {
            continue;
        }
        check.of(name, json)?;
    }
    Ok(())
}

impl Check {
    /// Checks the value of the field `name`.
    ///
    /// # Errors
    /// Where it is not what it must be.
    pub fn of(&self, name: &str, json: &str) -> Result<(), FieldError> {
        match self.holds(json) {
            true => Ok(()),
            false => Err(FieldError::wrong(name, format_args!("must be {}; it is {}", self.text(), shown(json)))),
        }
    }

    /// Whether a value, as its JSON text, satisfies the check.
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

/// The beginning of a value, for a message.
fn shown(json: &str) -> String {
    let mut shown: String = json.chars().take(40).collect();
    if shown.len() < json.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}
