//! How mistakes in the fields of this dialect are worded.

use std::fmt::Display;

use crate::wire::fields::{FieldError, Idiom, Place};

/// The API's name in messages.
pub(super) const NAME: &str = "Gemini generateContent";

/// What messages about fields that cannot be translated begin with.
const LEAD: &str = "Gemini generateContent: ";

/// How mistakes in a caller's fields are worded.
pub(super) static IDIOM: Idiom = Idiom {
    missing: "must be there",
    lead: LEAD,
    only_here: "cannot be sent to a target of another kind; leave it out",
    lenient: true,
};

/// A field that cannot be translated, from this dialect or into it.
pub(super) fn unsupported(path: impl Display, text: impl Display) -> FieldError {
    FieldError::unsupported(path, text).led_by(LEAD)
}

/// Takes a whole number. `40.0` is one, since Google's `topK` was a float once.
pub(super) fn whole(place: &mut Place<'_>, name: &str) -> Result<Option<i64>, FieldError> {
    let Some(value) = place.take(name) else { return Ok(None) };
    let float = || value.to_string().strip_suffix(".0").and_then(|digits| digits.parse().ok());
    value.as_i64().or_else(float).map(Some).ok_or_else(|| place.wrong(name, "must be a whole number"))
}

/// Takes a whole number of 0 or more.
pub(super) fn count(place: &mut Place<'_>, name: &str) -> Result<Option<u64>, FieldError> {
    let Some(number) = whole(place, name)? else { return Ok(None) };
    u64::try_from(number).map(Some).map_err(|_| place.wrong(name, "must be 0 or more"))
}
