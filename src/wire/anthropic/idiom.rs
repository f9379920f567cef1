//! How mistakes in the fields of this dialect are worded.

use std::fmt::Display;

use crate::wire::fields::{FieldError, Idiom};

/// The API's name in messages.
pub(super) const NAME: &str = "Anthropic Messages";

/// How mistakes in a caller's fields are worded.
pub(super) static IDIOM: Idiom = Idiom {
    missing: "is missing",
    lead: "",
    only_here: "is a feature of Anthropic Messages that cannot be translated for the target of this request",
    lenient: false,
};

/// A field of a request that this dialect has no form for.
pub(super) fn not_here(path: impl Display, why: &str) -> FieldError {
    FieldError::unsupported(path, format_args!("cannot be sent to {NAME}: {why}"))
}
