//! A request for embeddings and its answer, in the internal form.

use super::Usage;

/// Texts to turn into vectors.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Embed {
    /// The texts, in order.
    pub texts: Vec<String>,
    /// How many numbers each vector is to have.
    pub dimensions: Option<u64>,
}

/// A vector for each text, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Vectors {
    /// The vectors.
    pub vectors: Vec<Vec<f32>>,
    /// The tokens of the texts, where the provider reports them.
    pub usage: Option<Usage>,
}
