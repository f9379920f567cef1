//! The dialect's name, and how its messages speak of fields.

use std::fmt::Display;

use crate::wire::fields::{FieldError, Idiom};

/// The dialect's name in messages.
pub(super) const NAME: &str = "OpenAI Chat Completions";

/// How the dialect's fields are read.
pub(super) static IDIOM: Idiom = Idiom {
    missing: "is missing",
    lead: "",
    only_here: "is of OpenAI Chat Completions alone and cannot be translated for this target",
    lenient: false,
};

/// A field of a request that this dialect cannot express.
pub(super) fn inexpressible(path: impl Display, text: impl Display) -> FieldError {
    FieldError::unsupported(path, format_args!("cannot be expressed in {NAME}: {text}"))
}
