//! The texts of the writer's statements.
//!
//! A round trip to the connection's thread costs more than a row, so a batch is one text: rows of all four tables, with
//! `begin` and `commit` where it is a batch's first or last. Parameters are bare `?` here: SQLite finds a numbered one by
//! going through all names, which for a thousand parameters costs more than the insert.

use std::collections::HashMap;
use std::sync::Arc;

/// Numbers of rows that batches have, so that few texts are prepared and kept.
const ROWS: [usize; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 1];
/// Numbers of kinds and cells that batches have.
const CELLS: [usize; 4] = [8, 4, 2, 1];

const KINDS: &str = "insert into kinds (id, hour, project, key_id, endpoint, requested_model, provider, model, route, prompt, \
    version, stream, status, http_status, error_code, cache, estimated, unpriced, rate, trace) values ";
const KIND_COLUMNS: usize = 20;

const REQUESTS: &str = "insert into requests (id, kind, started_at, user_id, session, tags, input_tokens, \
    cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost, saved, latency_us, first_token_us, \
    overhead_us, sent_at, sent_latency_us, sent_first_token_us, reserved, cache_write_1h_tokens) values ";
const REQUEST_COLUMNS: usize = 21;

const ATTEMPTS: &str = "insert into attempts (request_id, n, provider, model, status, http_status, error_code, retryable, \
    started_at, latency_us, first_token_us, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, \
    reasoning_tokens, estimated, cost, rate, reserved, cache_write_1h_tokens) values ";
const ATTEMPT_COLUMNS: usize = 21;

const ROLLUPS: &str = "insert into rollups (id, hour, kind, user_id, requests, priced, unpriced, input_tokens, \
    cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost, saved, latency, first_token, overhead) \
    values ";
const ROLLUP_COLUMNS: usize = 17;
const ROLLUP_CONFLICT: &str = " on conflict (id) do update set requests = excluded.requests, priced = excluded.priced, \
    unpriced = excluded.unpriced, input_tokens = excluded.input_tokens, cached_input_tokens = excluded.cached_input_tokens, \
    cache_write_tokens = excluded.cache_write_tokens, output_tokens = excluded.output_tokens, \
    reasoning_tokens = excluded.reasoning_tokens, cost = excluded.cost, saved = excluded.saved, latency = excluded.latency, \
    first_token = excluded.first_token, overhead = excluded.overhead";

/// How many rows of each table one text writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::usage) struct Batch {
    pub(in crate::usage) first: bool,
    pub(in crate::usage) last: bool,
    pub(in crate::usage) kinds: usize,
    pub(in crate::usage) requests: usize,
    pub(in crate::usage) attempts: usize,
    pub(in crate::usage) cells: usize,
}

/// How many rows of each table a transaction writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::usage) struct Rows {
    pub(in crate::usage) kinds: usize,
    pub(in crate::usage) requests: usize,
    pub(in crate::usage) attempts: usize,
    pub(in crate::usage) cells: usize,
}

impl Batch {
    /// How many parameters it has.
    pub(in crate::usage) fn parameters(self) -> usize {
        self.kinds * KIND_COLUMNS
            + self.requests * REQUEST_COLUMNS
            + self.attempts * ATTEMPT_COLUMNS
            + self.cells * ROLLUP_COLUMNS
    }
}

/// The batches that write this many rows of each table in one transaction.
pub(in crate::usage) fn batches(mut rest: Rows) -> Vec<Batch> {
    let mut batches = Vec::new();
    while batches.is_empty() || rest != Rows::default() {
        let batch = Batch {
            first: batches.is_empty(),
            last: false,
            kinds: take(&mut rest.kinds, &CELLS),
            requests: take(&mut rest.requests, &ROWS),
            attempts: take(&mut rest.attempts, &ROWS),
            cells: take(&mut rest.cells, &CELLS),
        };
        batches.push(batch);
    }
    batches.last_mut().into_iter().for_each(|batch| batch.last = true);
    batches
}

fn take(rest: &mut usize, sizes: &[usize]) -> usize {
    let size = sizes.iter().copied().find(|size| size <= rest).unwrap_or(0);
    *rest -= size;
    size
}

/// The texts made so far.
#[derive(Debug, Default)]
pub(in crate::usage) struct Statements(HashMap<Batch, Arc<str>>);

impl Statements {
    /// The text of a batch.
    pub(in crate::usage) fn text(&mut self, batch: Batch) -> Arc<str> {
        self.0.entry(batch).or_insert_with(|| text(batch).into()).clone()
    }
}

fn text(batch: Batch) -> String {
    let mut sql = String::new();
    if batch.first {
        sql.push_str("begin immediate;");
    }
    insert(&mut sql, batch.kinds, KINDS, KIND_COLUMNS, "");
    insert(&mut sql, batch.requests, REQUESTS, REQUEST_COLUMNS, "");
    insert(&mut sql, batch.attempts, ATTEMPTS, ATTEMPT_COLUMNS, "");
    insert(&mut sql, batch.cells, ROLLUPS, ROLLUP_COLUMNS, ROLLUP_CONFLICT);
    if batch.last {
        sql.push_str("commit");
    }
    sql
}

fn insert(sql: &mut String, rows: usize, head: &str, columns: usize, tail: &str) {
    if rows == 0 {
        return;
    }
    let row = format!("({}?)", "?,".repeat(columns - 1));
    sql.push_str(head);
    sql.push_str(&vec![row; rows].join(","));
    sql.push_str(tail);
    sql.push(';');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packets_hold_every_row_once(kinds in 0usize..60, requests in 0usize..600, attempts in 0usize..600, cells in 0usize..60) {
            let batches = batches(Rows { kinds, requests, attempts, cells });
            prop_assert_eq!(batches.iter().map(|batch| batch.kinds).sum::<usize>(), kinds);
            prop_assert_eq!(batches.iter().map(|batch| batch.requests).sum::<usize>(), requests);
            prop_assert_eq!(batches.iter().map(|batch| batch.attempts).sum::<usize>(), attempts);
            prop_assert_eq!(batches.iter().map(|batch| batch.cells).sum::<usize>(), cells);
            // SQLite takes 32,766.
            prop_assert!(batches.iter().all(|batch| batch.parameters() < 32_000));
            prop_assert!(batches.iter().enumerate().all(|(at, batch)| batch.first == (at == 0)));
            prop_assert!(batches.iter().rev().enumerate().all(|(at, batch)| batch.last == (at == 0)));
        }
    }

    #[test]
    fn every_row_has_its_columns() {
        for (head, columns) in
            [(KINDS, KIND_COLUMNS), (REQUESTS, REQUEST_COLUMNS), (ATTEMPTS, ATTEMPT_COLUMNS), (ROLLUPS, ROLLUP_COLUMNS)]
        {
            assert_eq!(head.matches(',').count() + 1, columns);
        }
    }
}
