//! What the dialect is called, and how it speaks of fields.

use std::fmt::Display;

use crate::chat::Code;
use crate::wire::fields::{FieldError, Idiom};

/// The dialect's name in messages.
pub(super) const NAME: &str = "OpenAI Responses";

/// How the dialect's fields are read.
pub(super) static IDIOM: Idiom = Idiom {
    missing: "must be a text",
    lead: "OpenAI Responses: ",
    only_here: "cannot be said in any other dialect",
    lenient: false,
};

/// A field that asks for what cannot be had here, or nowhere but here.
pub(super) fn unsupported(path: impl Display, what: impl Display) -> FieldError {
    FieldError::new(Code::UnsupportedFeature, path, format!("{NAME}: {what}"))
}
