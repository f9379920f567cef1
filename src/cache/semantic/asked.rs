//! A question as it is compared by meaning.

use std::sync::Arc;

use crate::cache::key::CacheKey;
use crate::chat::UnitVector;

/// A question as it is compared by meaning.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// All of it but its texts.
    pub bucket: CacheKey,
    /// The texts.
    pub texts: Vec<Box<str>>,
    /// The vector of each text.
    pub vectors: Vec<Arc<UnitVector>>,
}
