//! The bounds of numbers in a request.

use serde_json::Value;

use super::idiom::unsupported;
use crate::wire::fields::FieldError;

/// The largest of Google's 32-bit numbers.
pub(super) const MOST: u64 = 2_147_483_647;

/// A number that lies between these two, or a refusal by name.
pub(super) fn within(name: &str, number: Option<f64>, (least, most): (f64, f64)) -> Result<Option<Value>, FieldError> {
    match number {
        Some(number) if number < least || number > most => {
            Err(unsupported(name, format_args!("must be from {least} to {most}")))
        }
        number => Ok(number.map(Value::from)),
    }
}

/// A number of at most this, or a refusal by name.
pub(super) fn at_most(name: &str, number: Option<u64>, most: u64) -> Result<Option<Value>, FieldError> {
    match number {
        Some(number) if number > most => Err(unsupported(name, format_args!("must be {most} or less"))),
        number => Ok(number.map(Value::from)),
    }
}
