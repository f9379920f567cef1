//! The dialect's name, and how its messages speak of fields.

use std::fmt::Display;

use crate::chat::Code;
use crate::wire::fields::{FieldError, Idiom};

/// The dialect's name in messages.
pub(super) const NAME: &str = "OpenAI Responses";

/// How the dialect's fields are read.
pub(super) static IDIOM: Idiom = Idiom {
    missing: "must be a text",
    lead: "OpenAI Responses: ",
    only_here: "cannot be expressed in any other dialect",
    lenient: false,
};

/// A field that only this dialect has, or that this dialect lacks.
pub(super) fn unsupported(path: impl Display, what: impl Display) -> FieldError {
    FieldError::new(Code::UnsupportedFeature, path, format!("{NAME}: {what}"))
}
