//! Hourly sums as the writer keeps them: one cell for each hour and combination of groups.

use std::sync::Arc;

use super::histogram::Histogram;
use super::kinds::Kinds;
use crate::types::{Nanos, QuickMap};
use crate::usage::rows::{CacheState, RequestRow, Settlement, Status};

/// More cells than this are not kept; the writer then lets go of all and begins new ones.
const MOST: usize = 4_096;

/// What sums are read by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::usage) struct Key {
    pub(in crate::usage) hour: i64,
    pub(in crate::usage) project: Arc<str>,
    pub(in crate::usage) key_id: Arc<str>,
    pub(in crate::usage) user: Option<Arc<str>>,
    pub(in crate::usage) provider: Option<Arc<str>>,
    pub(in crate::usage) model: Option<Arc<str>>,
    pub(in crate::usage) route: Option<Arc<str>>,
    pub(in crate::usage) prompt: Option<Arc<str>>,
    pub(in crate::usage) version: Option<u32>,
    pub(in crate::usage) status: Status,
    pub(in crate::usage) error_code: Option<Arc<str>>,
    pub(in crate::usage) cache: CacheState,
}

/// What is added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::usage) struct Sums {
    pub(in crate::usage) requests: i64,
    pub(in crate::usage) priced: i64,
    pub(in crate::usage) unpriced: i64,
    /// Input, of it cached, of it cache writes, output, of it reasoning.
    pub(in crate::usage) tokens: [i64; 5],
    pub(in crate::usage) cost: Nanos,
    pub(in crate::usage) saved: Nanos,
    pub(in crate::usage) latency: Histogram,
    pub(in crate::usage) first_token: Histogram,
    pub(in crate::usage) overhead: Histogram,
}

/// What a cell stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::usage) struct Group {
    pub(in crate::usage) hour: i64,
    pub(in crate::usage) kind: i64,
    pub(in crate::usage) user: Option<Arc<str>>,
}

/// A group's sums and the number of their row.
#[derive(Clone, Debug)]
pub(in crate::usage) struct Cell {
    pub(in crate::usage) id: i64,
    pub(in crate::usage) group: Group,
    pub(in crate::usage) sums: Sums,
}

/// The kinds and cells that the writer still adds to.
#[derive(Debug)]
pub(in crate::usage) struct Rollups {
    next: i64,
    hour: i64,
    kinds: Kinds,
    at: QuickMap<Group, usize>,
    cells: Vec<Cell>,
}

impl Key {
    pub(in crate::usage) fn of(row: &RequestRow) -> Self {
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
    pub(in crate::usage) fn add(&mut self, row: &RequestRow) {
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
    pub(in crate::usage) fn merge(&mut self, other: &Self) {
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
    /// No cells and no kinds; their rows' numbers begin with these.
    pub(in crate::usage) fn new(next: i64, next_kind: i64) -> Self {
        Self { next, hour: i64::MIN, kinds: Kinds::new(next_kind), at: QuickMap::default(), cells: Vec::new() }
    }

    /// Lets go of all cells: what was not committed of them is forgotten, what was stands in rows that nobody adds to.
    pub(in crate::usage) fn clear(&mut self) {
        self.kinds.clear();
        self.at.clear();
        self.cells.clear();
    }

    /// Numbers new rows from these at least: the database may be another than before.
    pub(in crate::usage) fn number_from(&mut self, next: i64, next_kind: i64) {
        self.clear();
        self.kinds.number_from(next_kind);
        self.next = self.next.max(next);
    }

    /// Makes room before a batch whose last request began in `hour`: what belongs to an hour that is over is let go of.
    pub(in crate::usage) fn make_room(&mut self, hour: i64) {
        if hour > self.hour || self.cells.len() > MOST || self.kinds.len() > MOST {
            self.hour = self.hour.max(hour);
            self.clear();
        }
    }

    /// The hour that no known kind's requests are younger than.
    pub(in crate::usage) fn hour(&self) -> i64 {
        self.hour
    }

    pub(in crate::usage) fn kinds(&mut self) -> &mut Kinds {
        &mut self.kinds
    }

    /// Adds a request; gives the number of its kind and the place of its cell.
    pub(in crate::usage) fn add(&mut self, settlement: &Settlement) -> (i64, usize) {
        let row = &settlement.request;
        let rate = settlement.only_attempt().and_then(|attempt| attempt.rate.as_ref());
        let kind = self.kinds.number(row, rate);
        let at = self.place(row, kind);
        self.cells[at].sums.add(row);
        (kind, at)
    }

    /// Adds to the cost of a request that was counted before.
    pub(in crate::usage) fn add_cost(&mut self, row: &RequestRow, cost: Nanos) -> usize {
        let kind = self.kinds.number(row, None);
        let at = self.place(row, kind);
        self.cells[at].sums.cost += cost;
        at
    }

    /// The cell at a place that [`Rollups::add`] gave since the last clearing.
    pub(in crate::usage) fn cell(&self, at: usize) -> &Cell {
        &self.cells[at]
    }

    fn place(&mut self, row: &RequestRow, kind: i64) -> usize {
        let group = Group { hour: row.started_at.hour().0, kind, user: row.user.clone() };
        if let Some(at) = self.at.get(&group) {
            return *at;
        }
        let at = self.cells.len();
        self.cells.push(Cell { id: self.next, group: group.clone(), sums: Sums::default() });
        self.next += 1;
        self.at.insert(group, at);
        at
    }
}
