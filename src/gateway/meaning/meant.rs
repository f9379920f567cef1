//! What is known of a call's question as it is compared by meaning.

use crate::cache::Question;

/// What is known of a call's question as it is compared by meaning.
#[derive(Debug, Default)]
pub enum Meant {
    /// Nothing yet.
    #[default]
    Unasked,
    /// Only an equal question gets its answer, or its vectors cannot be had.
    Alone,
    /// The question, under which its answer may be stored.
    Known(Box<Question>),
}
