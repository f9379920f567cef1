//! How a refusal of what Converse has no form for is worded.

use std::fmt::Display;

use crate::wire::fields::FieldError;

/// The API's name in messages.
pub(super) const NAME: &str = "Amazon Bedrock";

/// A field of a request that Bedrock has no form for.
pub(super) fn not_here(path: impl Display, why: &str) -> FieldError {
    FieldError::unsupported(path, format_args!("cannot be sent to {NAME}: {why}"))
}
