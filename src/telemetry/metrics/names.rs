//! The metrics' names, in one table: what scrapers see, and what the guide says of each.

use prometheus_client::registry::{Metric, Registry, Unit};

/// A metric.
#[derive(Debug)]
pub struct Name {
    /// As scrapers see it.
    pub name: &'static str,
    /// Its labels, in their order.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for the reader, and for the tests that hold pages and the guide to this")
    )]
    pub labels: &'static [&'static str],
    /// What it counts or shows.
    pub help: &'static str,
}

impl Name {
    /// Registers the metric under its name, without what the text form adds by the metric's kind.
    pub(super) fn register(&self, registry: &mut Registry, metric: impl Metric) {
        let bare = self.name.trim_end_matches("_total").trim_end_matches("_info");
        match (bare.strip_suffix("_seconds"), bare.strip_suffix("_bytes")) {
            (Some(bare), _) => registry.register_with_unit(bare, self.help, Unit::Seconds, metric),
            (_, Some(bare)) => registry.register_with_unit(bare, self.help, Unit::Bytes, metric),
            (None, None) => registry.register(bare, self.help, metric),
        }
    }
}

const fn row(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Name {
    Name { name, labels, help }
}

/// What `model` is: `provider/model`, but in `fulcrum_attempts_total` and those of targets, where it is the provider's own name.
const CALL: &[&str] = &["endpoint", "provider", "model", "project", "status", "error", "cache"];
const TARGET: &[&str] = &["provider", "model", "scope"];
const TIMES: &[&str] = &["endpoint", "provider", "model"];

pub(super) const REQUESTS: Name = row("fulcrum_requests_total", CALL, "Requests that were admitted");
pub(super) const ATTEMPTS: Name =
    row("fulcrum_attempts_total", &["provider", "model", "outcome"], "Calls to providers; `ok` or an error code");
pub(super) const CASCADE: Name = row(
    "fulcrum_cascade_answers_total",
    &["provider", "model", "outcome"],
    "Answers of cascades: `accepted`, or which check refused it",
);
pub(super) const HEDGES: Name = row(
    "fulcrum_hedges_total",
    &["route", "outcome"],
    "Second targets of hedged routes: `won`, `lost`, `failed`, `withheld` where they would have cost too much, or `acts` where the provider may act on the call",
);
pub(super) const TOKENS: Name = row(
    "fulcrum_tokens_total",
    &["provider", "model", "project", "kind"],
    "Tokens by kind: `input`, `cached_input`, `output`, `reasoning`",
);
pub(super) const COST: Name = row(
    "fulcrum_cost_dollars_total",
    &["provider", "model", "project"],
    "What providers charge, as far as prices are known",
);
pub(super) const LATENCY: Name = row("fulcrum_latency_seconds", TIMES, "Until the last byte; a histogram");
pub(super) const FIRST_TOKEN: Name = row("fulcrum_first_token_seconds", TIMES, "Until the first byte; a histogram");
pub(super) const OVERHEAD: Name = row("fulcrum_overhead_seconds", &["endpoint"], "Fulcrum's own part; a histogram");
pub(super) const REFUSED: Name = row(
    "fulcrum_refused_total",
    &["endpoint"],
    "Requests that were not admitted (no key, too many, bad header, too large)",
);
pub(super) const IN_FLIGHT: Name = row("fulcrum_requests_in_flight", &[], "Requests under way");
pub(super) const CONNECTIONS: Name = row("fulcrum_connections", &[], "Open client connections");
pub(super) const BATCHES: Name = row("fulcrum_batches_running", &[], "Batches under way");
pub(super) const LINES_IN_FLIGHT: Name =
    row("fulcrum_batch_lines_in_flight", &[], "Lines of batches under way or waiting for a provider");
pub(super) const LINES: Name =
    row("fulcrum_batch_lines_total", &["result"], "Lines of batches that have a result, `completed` or `failed`");
pub(super) const OWN: Name = row(
    "fulcrum_own_requests_total",
    &["purpose", "result"],
    "Requests that Fulcrum makes of its own (`shadow`, `verify`) by their status, or why one was not made",
);
pub(super) const MERGED: Name =
    row("fulcrum_merged_calls_total", &["provider"], "Calls for embeddings that were made for one or more requests");
pub(super) const MERGED_PARTS: Name =
    row("fulcrum_merged_parts_total", &["provider"], "The requests that these calls were made for");
pub(super) const COOLING: Name = row(
    "fulcrum_target_cooling",
    TARGET,
    "1 while a target cools after failures, for the calls of `all` or of some `keys`",
);
pub(super) const TARGET_IN_FLIGHT: Name = row(
    "fulcrum_target_in_flight",
    &["provider", "model"],
    "Calls under way at a target, of routes that are `fastest` or `least_busy`",
);
pub(super) const TARGET_FIRST_TOKEN: Name = row(
    "fulcrum_target_first_token_seconds",
    &["provider", "model", "kind"],
    "Mean time to the first token, as `fastest` reads it; of `stream` or `whole` answers",
);
pub(super) const SERVER_CALLS: Name =
    row("fulcrum_server_calls", &["provider"], "Calls of others at a local server, as `least_busy` reads them");
pub(super) const BOUND_SESSIONS: Name = row("fulcrum_bound_sessions", &[], "Sessions that are remembered at a target");
pub(super) const LEDGER_QUEUE: Name = row("fulcrum_ledger_queue", &[], "Settlements that wait for the ledger's writer");
pub(super) const LEDGER_LAG: Name =
    row("fulcrum_ledger_lag_seconds", &[], "How long the oldest settlement has waited for its commit");
pub(super) const LEDGER_WRITABLE: Name =
    row("fulcrum_ledger_writable", &[], "1 where the ledger takes rows, 0 where calls get 503");
pub(super) const DATABASE: Name = row(
    "fulcrum_database_size_bytes",
    &["file"],
    "Size on disk of the `database`, its write-ahead log (`wal`) and the ledger's `journal`",
);
pub(super) const CACHE_ENTRIES: Name = row("fulcrum_cache_entries", &[], "Cached answers");
pub(super) const CACHE_BYTES: Name = row("fulcrum_cache_size_bytes", &[], "Memory that cached answers take");
pub(super) const CACHE_FLIGHTS: Name = row("fulcrum_cache_flights", &[], "Calls under way that equal calls can follow");
pub(super) const CACHE_HITS: Name = row("fulcrum_cache_hits_total", &[], "Answers from the cache");
pub(super) const CACHE_MISSES: Name = row("fulcrum_cache_misses_total", &[], "Look-ups without an answer");
pub(super) const CACHE_STORED: Name = row("fulcrum_cache_stored_total", &[], "Answers that were stored");
/// What vectors of texts are for.
pub(super) const PURPOSES: [&str; 2] = ["rules", "cache"];
/// What keeps a stored answer from a similar question.
pub(super) const DIFFERENCES: [&str; 7] = ["number", "negation", "quote", "code", "time", "opposite", "name"];
pub(super) const EMBEDDING_FAILURES: Name = row(
    "fulcrum_embedding_failures_total",
    &["purpose"],
    "Calls that went on without a vector of their text, for `rules` or for the `cache`",
);
pub(super) const SEMANTIC_REFUSED: Name = row(
    "fulcrum_semantic_refused_total",
    &["difference"],
    "Questions as similar as the cache wants, whose answer was not taken since a `number`, `negation`, `quote`, `code` (with symbols), `time`, `opposite` or `name` differs",
);
pub(super) const QUESTIONS: Name =
    row("fulcrum_semantic_entries", &[], "Questions whose answers the cache finds by meaning");
pub(super) const QUESTION_BYTES: Name =
    row("fulcrum_semantic_size_bytes", &[], "Memory that their vectors and texts take");
pub(super) const BUILD: Name = row("fulcrum_build_info", &["version", "commit"], "Always 1; which build this is");
pub(super) const PROCESS_MEMORY: Name =
    row("process_resident_memory_bytes", &[], "Memory in use; on Linux, as the next four");
pub(super) const PROCESS_FDS: Name = row("process_open_fds", &[], "Open file descriptors");
pub(super) const PROCESS_MOST_FDS: Name = row("process_max_fds", &[], "The most file descriptors that may be open");
pub(super) const PROCESS_START: Name =
    row("process_start_time_seconds", &[], "When the process started, in seconds since 1970");
pub(super) const PROCESS_CPU: Name = row("process_cpu_seconds_total", &[], "CPU time used, by user and system");

/// Every metric, in the guide's order.
#[cfg(test)]
pub const NAMES: &[&Name] = &[
    &REQUESTS,
    &ATTEMPTS,
    &CASCADE,
    &HEDGES,
    &TOKENS,
    &COST,
    &LATENCY,
    &FIRST_TOKEN,
    &OVERHEAD,
    &REFUSED,
    &IN_FLIGHT,
    &CONNECTIONS,
    &BATCHES,
    &LINES_IN_FLIGHT,
    &LINES,
    &OWN,
    &MERGED,
    &MERGED_PARTS,
    &COOLING,
    &TARGET_IN_FLIGHT,
    &TARGET_FIRST_TOKEN,
    &SERVER_CALLS,
    &BOUND_SESSIONS,
    &LEDGER_QUEUE,
    &LEDGER_LAG,
    &LEDGER_WRITABLE,
    &DATABASE,
    &CACHE_ENTRIES,
    &CACHE_BYTES,
    &CACHE_FLIGHTS,
    &CACHE_HITS,
    &CACHE_MISSES,
    &CACHE_STORED,
    &EMBEDDING_FAILURES,
    &SEMANTIC_REFUSED,
    &QUESTIONS,
    &QUESTION_BYTES,
    &BUILD,
    &PROCESS_MEMORY,
    &PROCESS_FDS,
    &PROCESS_MOST_FDS,
    &PROCESS_START,
    &PROCESS_CPU,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guide_lists_every_metric_with_its_labels() {
        let labels = |name: &Name| name.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let table: Vec<String> =
            NAMES.iter().map(|name| format!("| `{}` | {} | {} |\n", name.name, labels(name), name.help)).collect();
        let guide = include_str!("../../../docs/guides/operations.md");
        let table = format!("| metric | labels | is |\n|---|---|---|\n{}\n", table.concat());
        assert!(guide.contains(&table), "docs/guides/operations.md must hold this table:\n{table}");
    }
}
