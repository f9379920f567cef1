//! What the configuration decides about files and batches.

use std::time::Duration;

/// What the configuration decides about files and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The largest file, in bytes.
    pub max_size: u64,
    /// The most bytes that the files of one project take together.
    pub max_total: u64,
    /// How long a file is stored that sets no time of its own.
    pub retention: Duration,
    /// The most lines of a batch.
    pub max_lines: u64,
    /// How many lines run at once, of all batches together.
    pub concurrency: usize,
    /// No line begins while more calls than this, other than batches' own, are under way.
    pub yield_above: u32,
    /// How long a line waits for a provider that is rate limited, cooling or out of reach, before the line fails.
    pub patience: Duration,
    /// How often a provider is asked for the state of a batch that was handed over.
    pub poll: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_size: 200 << 20,
            max_total: 10 << 30,
            retention: Duration::from_secs(30 * 86_400),
            max_lines: 50_000,
            concurrency: 8,
            yield_above: 32,
            patience: Duration::from_secs(3_600),
            poll: Duration::from_secs(30),
        }
    }
}
