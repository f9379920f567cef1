//! Tokens of one call.

/// Tokens counted by a provider, or estimated where it counted none.
///
/// `input` includes the cached and the cache-write tokens; `output` includes the reasoning tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All tokens read.
    pub input: u64,
    /// Of these, read from the provider's prompt cache.
    pub cached_input: u64,
    /// Of these, written to the provider's prompt cache.
    pub cache_write: u64,
    /// Of the written ones, those kept for an hour.
    pub cache_write_1h: u64,
    /// All tokens written.
    pub output: u64,
    /// Of these, spent on reasoning.
    pub reasoning: u64,
    /// Whether we guessed because the provider did not say.
    pub estimated: bool,
}
