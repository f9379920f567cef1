//! A mistake with its place.

use std::fmt::Display;

use crate::chat::{Code, Error};

/// A mistake in a request, and the path of the field that it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    code: Code,
    path: String,
    message: String,
}

impl Diagnostic {
    /// A mistake with a message of its own.
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

impl From<Diagnostic> for Error {
    fn from(diagnostic: Diagnostic) -> Self {
        Self::new(diagnostic.code, diagnostic.message).at(diagnostic.path)
    }
}
