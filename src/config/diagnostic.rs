//! One mistake in the configuration, with its place and what to do.

use std::fmt;
use std::sync::Arc;

/// A mistake, shown as `file:line:col: key: problem; fix`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Diagnostic {
    /// The file, or `environment`.
    pub file: Arc<str>,
    /// The line, from 1; 0 where the mistake stands in no line.
    pub line: usize,
    /// The column in characters, from 1; 0 where the mistake stands in no line.
    pub col: usize,
    /// The key, such as `providers.openai.api_key`.
    pub key: String,
    /// What is wrong. Never holds a secret.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, col, key, problem, fix } = self;
        if *line == 0 {
            return write!(f, "{file}: {key}: {problem}; {fix}");
        }
        write!(f, "{file}:{line}:{col}: {key}: {problem}; {fix}")
    }
}

/// The line and column, from 1 and in characters, of a byte offset.
pub(super) fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..text.floor_char_boundary(at)).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let col = before.get(start..).unwrap_or_default().chars().count() + 1;
    (before.matches('\n').count() + 1, col)
}
