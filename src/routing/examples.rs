//! Example sentences that rules compare a call's text with, and what is known of such a comparison.

use std::sync::Arc;

/// Sentences by whose meaning rules know a kind of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleSet {
    /// The name.
    pub name: Arc<str>,
    /// The sentences.
    pub sentences: Box<[String]>,
}

/// What is known of how similar a call's text is to the nearest sentence of a set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Similarity {
    /// The cosine, -1 to 1.
    Known(f64),
    /// Not worked out yet: an embedding of the text is needed.
    Open,
    /// It cannot be worked out. Rules read 0.
    Unknown,
}
