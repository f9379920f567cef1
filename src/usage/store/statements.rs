//! The texts of the writer's statements.
//!
//! A round trip to the connection's thread costs more than a row, so a batch is one text: rows of all four tables, with
//! `begin` and `commit` where it is a batch's first or last. Parameters are bare `?` here: SQLite finds a numbered one by
//! going through all names, which for a thousand parameters costs more than the insert.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use crate::usage::columns::{ALONE_OWN, ALONE_SHARED, ATTEMPT, OWN, SHARED, SUMS, names};

/// Numbers of rows that batches have, so that few texts are prepared and cached.
const ROWS: [usize; 9] = [256, 128, 64, 32, 16, 8, 4, 2, 1];
/// Numbers of dimensions and cells that batches have.
const CELLS: [usize; 4] = [8, 4, 2, 1];

/// An insert into one table.
#[derive(Debug)]
pub(super) struct Insert {
    /// What stands before the rows.
    head: String,
    /// What stands behind them.
    tail: String,
    columns: usize,
}

impl Insert {
    fn new(table: &str, columns: &str, tail: String) -> Self {
        let head = format!("insert into {table} ({columns}) values ");
        Self { head, tail, columns: columns.split(',').count() }
    }

    /// The text that inserts some rows on either database.
    pub(super) fn numbered(&self, rows: usize) -> String {
        let row = |at: usize| {
            let places: Vec<_> = (1..=self.columns).map(|column| format!("${}", at * self.columns + column)).collect();
            format!("({})", places.join(","))
        };
        let rows: Vec<_> = (0..rows).map(row).collect();
        format!("{}{}{}", self.head, rows.join(","), self.tail)
    }
}

// SQL says `kinds` and `kind` for dimensions: databases in the field have the table under this name, and a build of before a
// renaming could not open one of after it.
pub(super) static DIMENSIONS: LazyLock<Insert> = LazyLock::new(|| {
    let columns = format!("id, hour, {}, {}", names(SHARED.iter().copied()), names(ALONE_SHARED.iter().copied()));
    Insert::new("kinds", &columns, String::new())
});

pub(super) static REQUESTS: LazyLock<Insert> = LazyLock::new(|| {
    let alone: Vec<_> = ALONE_OWN.iter().map(|column| column.name_alone()).collect();
    let columns = format!("kind, {}, {}", names(OWN.iter().copied()), alone.join(", "));
    Insert::new("requests", &columns, String::new())
});

pub(super) static ATTEMPTS: LazyLock<Insert> =
    LazyLock::new(|| Insert::new("attempts", &format!("request_id, {}", names(&ATTEMPT)), String::new()));

pub(super) static ROLLUPS: LazyLock<Insert> = LazyLock::new(|| {
    let latest: Vec<_> = SUMS.iter().map(|column| format!("{0} = excluded.{0}", column.name)).collect();
    let tail = format!(" on conflict (id) do update set {}", latest.join(", "));
    Insert::new("rollups", &format!("id, hour, kind, user_id, {}", names(&SUMS)), tail)
});

/// How many rows of each table one text writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::usage) struct Batch {
    pub(in crate::usage) first: bool,
    pub(in crate::usage) last: bool,
    pub(in crate::usage) dimensions: usize,
    pub(in crate::usage) requests: usize,
    pub(in crate::usage) attempts: usize,
    pub(in crate::usage) cells: usize,
}

/// How many rows of each table a transaction writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::usage) struct Rows {
    pub(in crate::usage) dimensions: usize,
    pub(in crate::usage) requests: usize,
    pub(in crate::usage) attempts: usize,
    pub(in crate::usage) cells: usize,
}

impl Batch {
    /// How many parameters it has.
    pub(in crate::usage) fn parameters(self) -> usize {
        self.dimensions * DIMENSIONS.columns
            + self.requests * REQUESTS.columns
            + self.attempts * ATTEMPTS.columns
            + self.cells * ROLLUPS.columns
    }
}

/// The batches that write this many rows of each table in one transaction.
pub(in crate::usage) fn batches(mut rest: Rows) -> Vec<Batch> {
    let mut batches = Vec::new();
    while batches.is_empty() || rest != Rows::default() {
        let batch = Batch {
            first: batches.is_empty(),
            last: false,
            dimensions: take(&mut rest.dimensions, &CELLS),
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
    insert(&mut sql, batch.dimensions, &DIMENSIONS);
    insert(&mut sql, batch.requests, &REQUESTS);
    insert(&mut sql, batch.attempts, &ATTEMPTS);
    insert(&mut sql, batch.cells, &ROLLUPS);
    if batch.last {
        sql.push_str("commit");
    }
    sql
}

fn insert(sql: &mut String, rows: usize, insert: &Insert) {
    if rows == 0 {
        return;
    }
    let row = format!("({}?)", "?,".repeat(insert.columns - 1));
    sql.push_str(&insert.head);
    sql.push_str(&vec![row; rows].join(","));
    sql.push_str(&insert.tail);
    sql.push(';');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn packets_hold_every_row_once(dimensions in 0usize..60, requests in 0usize..600, attempts in 0usize..600, cells in 0usize..60) {
            let batches = batches(Rows { dimensions, requests, attempts, cells });
            prop_assert_eq!(batches.iter().map(|batch| batch.dimensions).sum::<usize>(), dimensions);
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
        for insert in [&DIMENSIONS, &REQUESTS, &ATTEMPTS, &ROLLUPS] {
            assert_eq!(insert.head.matches(',').count() + 1, insert.columns);
        }
    }
}
