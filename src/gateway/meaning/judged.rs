//! What is known of the meaning of a call's text, where the rules read that.

use std::sync::Arc;

use crate::chat::UnitVector;

/// What is known of a call's text, where a rule reads what it means.
#[derive(Clone, Debug)]
pub enum Judged {
    /// The text is to be embedded first.
    Wanted(Box<str>),
    /// Its vector.
    Known(Arc<UnitVector>),
    /// There is no vector, and this is why.
    Failed(&'static str),
}
