//! A mistake in a field of a request or an answer.

use std::fmt::Display;

use crate::chat::{Code, Error};

/// A mistake in a field, with the path of the field and an error code.
///
/// A type of its own beside `types::Diagnostic`: a caller reads a code and a path (`param`) as a [`chat::Error`](Error),
/// where a person who wrote a file reads its line and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldError {
    code: Code,
    path: String,
    message: String,
}

impl FieldError {
    /// A mistake whose message names the field itself.
    pub fn new(code: Code, path: impl Display, message: impl Into<String>) -> Self {
        Self { code, path: path.to_string(), message: message.into() }
    }

    /// A field that holds what it cannot. The text goes on where the field's name ends.
    pub fn wrong(path: impl Display, text: impl Display) -> Self {
        let path = path.to_string();
        Self { code: Code::InvalidRequest, message: format!("`{path}` {text}"), path }
    }

    /// A field that asks for what a target cannot do. The text goes on where the field's name ends.
    pub fn unsupported(path: impl Display, text: impl Display) -> Self {
        let path = path.to_string();
        Self { code: Code::UnsupportedFeature, message: format!("`{path}` {text}"), path }
    }

    /// The same mistake, with `lead` before its message.
    pub fn led_by(mut self, lead: &str) -> Self {
        self.message.insert_str(0, lead);
        self
    }
}

impl From<FieldError> for Error {
    fn from(error: FieldError) -> Self {
        Self::new(error.code, error.message).at(error.path)
    }
}
