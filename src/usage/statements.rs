//! The texts of the writer's statements.
//!
//! A round trip to the connection's thread costs more than a row, so a packet is one text: rows of all three tables, with
//! `begin` and `commit` where it is a batch's first or last. Parameters are bare `?` here: SQLite finds a numbered one by
//! going through all names, which for a thousand parameters costs more than the insert.

use std::collections::HashMap;
use std::sync::Arc;

/// Numbers of rows that packets have, so that few texts are prepared and kept.
const ROWS: [usize; 7] = [64, 32, 16, 8, 4, 2, 1];
/// Numbers of cells that packets have.
const CELLS: [usize; 4] = [8, 4, 2, 1];

const REQUESTS: &str = "insert into requests (id, started_at, project, key_id, user_id, session, tags, endpoint, \
    requested_model, provider, model, route, prompt, version, stream, status, http_status, error_code, cache, \
    input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, estimated, \
    cost, unpriced, saved, latency_us, first_token_us, overhead_us, trace) values ";
const REQUEST_COLUMNS: usize = 32;

const ATTEMPTS: &str = "insert into attempts (request_id, n, provider, model, status, http_status, error_code, retryable, \
    started_at, latency_us, first_token_us, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, \
    reasoning_tokens, estimated, cost, rate, reserved) values ";
const ATTEMPT_COLUMNS: usize = 20;

const ROLLUPS: &str = "insert into rollups (id, hour, project, key_id, user_id, provider, model, route, prompt, version, \
    status, error_code, cache, requests, priced, unpriced, input_tokens, cached_input_tokens, cache_write_tokens, \
    output_tokens, reasoning_tokens, cost, saved, latency, first_token, overhead) values ";
const ROLLUP_COLUMNS: usize = 26;
const ROLLUP_CONFLICT: &str = " on conflict (id) do update set requests = excluded.requests, priced = excluded.priced, \
    unpriced = excluded.unpriced, input_tokens = excluded.input_tokens, cached_input_tokens = excluded.cached_input_tokens, \
    cache_write_tokens = excluded.cache_write_tokens, output_tokens = excluded.output_tokens, \
    reasoning_tokens = excluded.reasoning_tokens, cost = excluded.cost, saved = excluded.saved, latency = excluded.latency, \
    first_token = excluded.first_token, overhead = excluded.overhead";

/// How many rows of each table one text writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Packet {
    pub(super) first: bool,
    pub(super) last: bool,
    pub(super) requests: usize,
    pub(super) attempts: usize,
    pub(super) cells: usize,
}

/// The packets that write this many rows of each table in one transaction.
pub(super) fn packets(requests: usize, attempts: usize, cells: usize) -> Vec<Packet> {
    let mut rest = (requests, attempts, cells);
    let mut packets = Vec::new();
    while packets.is_empty() || rest != (0, 0, 0) {
        let packet = Packet {
            first: packets.is_empty(),
            last: false,
            requests: take(&mut rest.0, &ROWS),
            attempts: take(&mut rest.1, &ROWS),
            cells: take(&mut rest.2, &CELLS),
        };
        packets.push(packet);
    }
    packets.last_mut().into_iter().for_each(|packet| packet.last = true);
    packets
}

fn take(rest: &mut usize, sizes: &[usize]) -> usize {
    let size = sizes.iter().copied().find(|size| size <= rest).unwrap_or(0);
    *rest -= size;
    size
}

/// The texts made so far.
#[derive(Debug, Default)]
pub(super) struct Statements(HashMap<Packet, Arc<str>>);

impl Statements {
    /// The text of a packet.
    pub(super) fn text(&mut self, packet: Packet) -> Arc<str> {
        self.0.entry(packet).or_insert_with(|| text(packet).into()).clone()
    }
}

fn text(packet: Packet) -> String {
    let mut sql = String::new();
    if packet.first {
        sql.push_str("begin immediate;");
    }
    insert(&mut sql, packet.requests, REQUESTS, REQUEST_COLUMNS, "");
    insert(&mut sql, packet.attempts, ATTEMPTS, ATTEMPT_COLUMNS, "");
    insert(&mut sql, packet.cells, ROLLUPS, ROLLUP_COLUMNS, ROLLUP_CONFLICT);
    if packet.last {
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
        fn packets_hold_every_row_once(requests in 0usize..300, attempts in 0usize..300, cells in 0usize..60) {
            let packets = packets(requests, attempts, cells);
            prop_assert_eq!(packets.iter().map(|packet| packet.requests).sum::<usize>(), requests);
            prop_assert_eq!(packets.iter().map(|packet| packet.attempts).sum::<usize>(), attempts);
            prop_assert_eq!(packets.iter().map(|packet| packet.cells).sum::<usize>(), cells);
            prop_assert!(packets.iter().enumerate().all(|(at, packet)| packet.first == (at == 0)));
            prop_assert!(packets.iter().rev().enumerate().all(|(at, packet)| packet.last == (at == 0)));
        }
    }

    #[test]
    fn every_row_has_its_columns() {
        for (head, columns) in [(REQUESTS, REQUEST_COLUMNS), (ATTEMPTS, ATTEMPT_COLUMNS), (ROLLUPS, ROLLUP_COLUMNS)] {
            assert_eq!(head.matches(',').count() + 1, columns);
        }
    }
}
