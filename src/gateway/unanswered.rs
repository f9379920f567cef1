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
    /// Whether part of an answer came. What is no answer at all is charged nothing but what is reported.
    pub is_part: bool,
}

impl Unanswered {
    /// Nothing of an answer came.
    pub fn nothing(failure: Failure) -> Self {
        Self { failure, reported: None, is_part: false }
    }
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Self {
        Self { failure, reported: None, is_part: true }
    }
}

impl From<BadAnswer> for Unanswered {
    fn from(BadAnswer(reason): BadAnswer) -> Self {
        Self::nothing(Failure::Protocol(reason))
    }
}
