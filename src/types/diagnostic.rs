//! A mistake in a text that a person wrote, such as a configuration or a prompt: its place and what to do.

use std::fmt;
use std::sync::Arc;

/// A mistake, shown as `file:line:col: key: problem; fix`, without the parts that are not known. With a fix the place of the
/// key stays even where the key is empty: `fulcrum check` prints these lines, and programs split them.
///
/// A mistake in a call's request is a `wire::fields::FieldError` instead, since a caller needs an error code.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file, or `environment`; `None` for a text that came in no file.
    pub file: Option<Arc<str>>,
    /// Where the mistake stands in the text.
    pub place: Place,
    /// The key, such as `providers.openai.api_key`; empty for the whole text.
    pub key: String,
    /// What is wrong. Never holds a secret.
    pub problem: String,
    /// What to do; empty where `problem` says so already.
    pub fix: String,
}

/// Where a mistake stands in its text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At no known place.
    #[default]
    Unknown,
    /// At this byte of the text.
    Offset(usize),
    /// At this line of the value that stands under the diagnostic's key.
    InValue(Position),
    /// At this line of the whole text.
    InText(Position),
}

/// A line and a column, both from 1; the column counts characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Diagnostic {
    /// A mistake at no known place of a text of no file, which says itself what to do.
    #[must_use]
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { file: None, place: Place::Unknown, key: key.into(), problem: problem.into(), fix: String::new() }
    }

    /// The same mistake, with what to do.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: fix.into(), ..self }
    }

    /// The same mistake, at this place.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place, ..self }
    }

    /// The same mistake, in this file.
    #[must_use]
    pub fn of_file(self, file: impl Into<Arc<str>>) -> Self {
        Self { file: Some(file.into()), ..self }
    }

    /// The line and column in the whole text, where they are known.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        match self.place {
            Place::InText(position) => Some(position),
            Place::Unknown | Place::Offset(_) | Place::InValue(_) => None,
        }
    }
}

impl Position {
    /// The position of the byte `offset` in `text`; of the text's end where the text is shorter.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..text.floor_char_boundary(offset)).unwrap_or(text);
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(start..).unwrap_or_default().chars().count() + 1;
        Self { line: before.matches('\n').count() + 1, column }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, place, key, problem, fix } = self;
        if let Some(file) = file {
            f.write_str(file)?;
            f.write_str(if self.position().is_some() { ":" } else { ": " })?;
        }
        if let Place::InText(Position { line, column }) = place {
            write!(f, "{line}:{column}: ")?;
        }
        if !(key.is_empty() && fix.is_empty()) {
            write!(f, "{key}: ")?;
        }
        if let Place::InValue(Position { line, column }) = place {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(problem)?;
        if fix.is_empty() { Ok(()) } else { write!(f, "; {fix}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_shows_only_what_is_known_of_it() {
        let bare = Diagnostic::new("cache.ttl", "is no duration");
        let spot = Position { line: 3, column: 7 };
        for (diagnostic, shown) in [
            (bare.clone(), "cache.ttl: is no duration"),
            (bare.clone().fix("write 30s"), "cache.ttl: is no duration; write 30s"),
            (bare.clone().of_file("f.toml"), "f.toml: cache.ttl: is no duration"),
            (bare.clone().at(Place::Offset(9)), "cache.ttl: is no duration"),
            (bare.clone().at(Place::InText(spot)), "3:7: cache.ttl: is no duration"),
            (bare.clone().at(Place::InValue(spot)), "cache.ttl: line 3, column 7: is no duration"),
            (bare.of_file("f.toml").at(Place::InText(spot)).fix("mend"), "f.toml:3:7: cache.ttl: is no duration; mend"),
            (Diagnostic::new("", "is a link").of_file("f.toml"), "f.toml: is a link"),
            (Diagnostic::new("", "is a link").of_file("f.toml").fix("mend"), "f.toml: : is a link; mend"),
        ] {
            assert_eq!(diagnostic.to_string(), shown);
        }
    }

    #[test]
    fn a_position_counts_lines_and_characters_from_one() {
        for (text, offset, line, column) in [
            ("", 0, 1, 1),
            ("", 9, 1, 1),
            ("ab", 1, 1, 2),
            ("ab", 9, 1, 3),
            ("a\nb", 2, 2, 1),
            ("é=1", 3, 1, 3),
            ("é", 1, 1, 1),
        ] {
            assert_eq!(Position::of(text, offset), Position { line, column }, "{text:?} at {offset}");
        }
    }
}
