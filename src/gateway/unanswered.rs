//! An attempt that brought no answer, and what it used all the same.

use crate::chat::Used;
use crate::upstream::Failure;
use crate::wire::dialect::BadAnswer;

/// An attempt that brought no answer.
pub struct Unanswered {
    /// Why.
    pub failure: Failure,
    /// What the provider reports to have used all the same.
    pub reported: Option<Used>,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self { failure, reported: None }
    }
}

impl From<BadAnswer> for Unanswered {
    fn from(BadAnswer(reason): BadAnswer) -> Self {
        Failure::Protocol(reason).into()
    }
}
