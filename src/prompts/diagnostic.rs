//! One mistake in a prompt's text, with its place.

use std::fmt;

/// One mistake in a prompt's text, by its key, and by its file and line where the text is a file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file; none for JSON.
    pub file: Option<String>,
    /// Where, such as `messages[1].content`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
    /// The line in the file, from 1; none for JSON.
    pub line: Option<usize>,
    /// The column in the file, from 1; none for JSON.
    pub column: Option<usize>,
    /// The line and column inside the text that stands at `key`.
    pub(super) within: Option<(usize, usize)>,
}

impl Diagnostic {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { file: None, key: key.into(), message: message.into(), line: None, column: None, within: None }
    }

    /// The same mistake, in this file.
    pub(super) fn of_file(self, file: &str) -> Self {
        Self { file: Some(file.to_owned()), ..self }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            f.write_str(file)?;
            f.write_str(if self.line.is_some() { ":" } else { ": " })?;
        }
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        if let (Some((line, column)), None) = (self.within, self.line) {
            write!(f, "line {line}, column {column}: ")?;
        }
        f.write_str(&self.message)
    }
}
