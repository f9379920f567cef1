//! Hourly sums as the writer keeps them: one cell for each hour and combination of groups.

use std::collections::HashMap;
use std::sync::Arc;

use super::histogram::Histogram;
use super::rows::{CacheState, RequestRow, Status};
use crate::types::Nanos;

/// More cells than this are not kept; the writer then lets go of all and begins new ones.
const MOST: usize = 4_096;

/// What a cell stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) hour: i64,
    pub(super) project: Arc<str>,
    pub(super) key_id: Arc<str>,
    pub(super) user: Option<Arc<str>>,
    pub(super) provider: Option<Arc<str>>,
    pub(super) model: Option<Arc<str>>,
    pub(super) route: Option<Arc<str>>,
    pub(super) prompt: Option<Arc<str>>,
    pub(super) version: Option<u32>,
    pub(super) status: Status,
    pub(super) error_code: Option<Arc<str>>,
    pub(super) cache: CacheState,
}

/// What is added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) requests: i64,
    pub(super) priced: i64,
    pub(super) unpriced: i64,
    /// Input, of it cached, of it cache writes, output, of it reasoning.
    pub(super) tokens: [i64; 5],
    pub(super) cost: Nanos,
    pub(super) saved: Nanos,
    pub(super) latency: Histogram,
    pub(super) first_token: Histogram,
    pub(super) overhead: Histogram,
}

/// A key's sums and the number of their row.
#[derive(Clone, Debug)]
pub(super) struct Cell {
    pub(super) id: i64,
    pub(super) key: Key,
    pub(super) sums: Sums,
}

/// The cells that the writer still adds to.
#[derive(Debug)]
pub(super) struct Rollups {
    next: i64,
    hour: i64,
    at: HashMap<Key, usize>,
    cells: Vec<Cell>,
}

impl Key {
    pub(super) fn of(row: &RequestRow) -> Self {
        Self {
            hour: row.started_at.hour().0,
            project: row.project.clone(),
            key_id: row.key_id.clone(),
            user: row.user.clone(),
            provider: row.provider.clone(),
            model: row.model.clone(),
            route: row.route.clone(),
            prompt: row.prompt.clone(),
            version: row.version,
            status: row.status,
            error_code: row.error_code.clone(),
            cache: row.cache,
        }
    }
}

impl Sums {
    /// Adds a request.
    pub(super) fn add(&mut self, row: &RequestRow) {
        self.requests += 1;
        self.priced += i64::from(row.cost.is_some());
        self.unpriced += i64::from(row.unpriced);
        if let Some(usage) = &row.usage {
            let counts = [usage.input, usage.cached_input, usage.cache_write, usage.output, usage.reasoning];
            for (sum, count) in self.tokens.iter_mut().zip(counts) {
                *sum = sum.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
            }
        }
        self.cost += row.cost.unwrap_or_default();
        self.saved += row.saved;
        // Nobody measured a request that the process did not survive.
        if row.status != Status::Unknown {
            self.latency.record(row.latency_us);
        }
        row.first_token_us.into_iter().for_each(|value| self.first_token.record(value));
        row.overhead_us.into_iter().for_each(|value| self.overhead.record(value));
    }

    /// Adds another's sums.
    pub(super) fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.priced += other.priced;
        self.unpriced += other.unpriced;
        for (sum, count) in self.tokens.iter_mut().zip(other.tokens) {
            *sum = sum.saturating_add(count);
        }
        self.cost += other.cost;
        self.saved += other.saved;
        self.latency.merge(&other.latency);
        self.first_token.merge(&other.first_token);
        self.overhead.merge(&other.overhead);
    }
}

impl Rollups {
    /// No cells; their rows' numbers begin with `next`.
    pub(super) fn new(next: i64) -> Self {
        Self { next, hour: i64::MIN, at: HashMap::new(), cells: Vec::new() }
    }

    /// Lets go of all cells: what was not committed of them is forgotten, what was stands in rows that nobody adds to.
    pub(super) fn clear(&mut self) {
        self.at.clear();
        self.cells.clear();
    }

    /// Numbers new rows from `next` at least: the database may be another than before.
    pub(super) fn number_from(&mut self, next: i64) {
        self.clear();
        self.next = self.next.max(next);
    }

    /// Makes room before a batch that begins with `row`: cells of an hour that is over are let go of.
    pub(super) fn make_room(&mut self, row: &RequestRow) {
        let hour = row.started_at.hour().0;
        if hour > self.hour || self.cells.len() > MOST {
            self.hour = self.hour.max(hour);
            self.clear();
        }
    }

    /// Adds a request; gives the place of its cell.
    pub(super) fn add(&mut self, row: &RequestRow) -> usize {
        let at = self.place(Key::of(row));
        self.cells[at].sums.add(row);
        at
    }

    /// Adds to the cost of a request that was counted before.
    pub(super) fn add_cost(&mut self, row: &RequestRow, cost: Nanos) -> usize {
        let at = self.place(Key::of(row));
        self.cells[at].sums.cost += cost;
        at
    }

    /// The cell at a place that [`Rollups::add`] gave since the last clearing.
    pub(super) fn cell(&self, at: usize) -> &Cell {
        &self.cells[at]
    }

    fn place(&mut self, key: Key) -> usize {
        if let Some(at) = self.at.get(&key) {
            return *at;
        }
        let at = self.cells.len();
        self.cells.push(Cell { id: self.next, key: key.clone(), sums: Sums::default() });
        self.next += 1;
        self.at.insert(key, at);
        at
    }
}
