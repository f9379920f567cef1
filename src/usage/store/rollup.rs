//! Hourly sums as the writer keeps them: one cell for each hour and combination of groups, and another where that is full.

use std::sync::Arc;

use super::dimensions::Known;
use super::sums::Sums;
use crate::types::{Nanos, QuickMap};
use crate::usage::rows::{RequestRow, Settlement};

/// More cells than this do not stay in memory; the writer then forgets all and begins new ones.
const MOST: usize = 4_096;

/// What a cell stands for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::usage) struct Group {
    pub(in crate::usage) hour: i64,
    pub(in crate::usage) dimensions: i64,
    pub(in crate::usage) user: Option<Arc<str>>,
}

/// A group's sums and the number of their row.
#[derive(Clone, Debug)]
pub(in crate::usage) struct Cell {
    pub(in crate::usage) id: i64,
    pub(in crate::usage) group: Group,
    pub(in crate::usage) sums: Sums,
}

/// The dimensions and cells that the writer still adds to.
#[derive(Debug)]
pub(in crate::usage) struct Rollups {
    next: i64,
    hour: i64,
    known: Known,
    at: QuickMap<Group, usize>,
    cells: Vec<Cell>,
}

impl Rollups {
    /// No cells and no dimensions; their rows' numbers begin with these.
    pub(in crate::usage) fn new(next: i64, next_dimensions: i64) -> Self {
        Self { next, hour: i64::MIN, known: Known::new(next_dimensions), at: QuickMap::default(), cells: Vec::new() }
    }

    /// Forgets all cells: what was not committed of them is lost, what was stands in rows that nobody adds to.
    pub(in crate::usage) fn clear(&mut self) {
        self.known.clear();
        self.at.clear();
        self.cells.clear();
    }

    /// Numbers new rows from these at least: the database may be another than before.
    pub(in crate::usage) fn number_from(&mut self, next: i64, next_dimensions: i64) {
        self.clear();
        self.known.number_from(next_dimensions);
        self.next = self.next.max(next);
    }

    /// Makes room before a batch whose last request began in `hour`: what belongs to an hour that is over is forgotten.
    pub(in crate::usage) fn make_room(&mut self, hour: i64) {
        if hour > self.hour || self.cells.len() > MOST || self.known.len() > MOST {
            self.hour = self.hour.max(hour);
            self.clear();
        }
    }

    /// The hour that no request of known dimensions is younger than.
    pub(in crate::usage) fn hour(&self) -> i64 {
        self.hour
    }

    pub(in crate::usage) fn known(&self) -> &Known {
        &self.known
    }

    /// Notes that the new dimensions are committed.
    pub(in crate::usage) fn written(&mut self) {
        self.known.written();
    }

    /// Adds a request; returns the number of its dimensions and the position of its cell.
    pub(in crate::usage) fn add(&mut self, settlement: &Settlement) -> (i64, usize) {
        let row = &settlement.request;
        let dimensions = self.known.number(row, settlement.only_attempt());
        let at =
            self.position(row, dimensions, |sums| sums.has_room(row.cost.unwrap_or_default(), row.saved, row.usage));
        self.cells[at].sums.add(row);
        (dimensions, at)
    }

    /// Adds to the cost of a request that was counted before.
    pub(in crate::usage) fn add_cost(&mut self, row: &RequestRow, cost: Nanos) -> usize {
        let dimensions = self.known.number(row, None);
        let at = self.position(row, dimensions, |sums| sums.has_room(cost, Nanos(0), None));
        self.cells[at].sums.cost += cost;
        at
    }

    /// The cell at a position that [`Rollups::add`] returned since the last clearing.
    pub(in crate::usage) fn cell(&self, at: usize) -> &Cell {
        &self.cells[at]
    }

    fn position(&mut self, row: &RequestRow, dimensions: i64, has_room: impl Fn(&Sums) -> bool) -> usize {
        let group = Group { hour: row.started_at.hour().0, dimensions, user: row.user.clone() };
        if let Some(at) = self.at.get(&group).filter(|at| has_room(&self.cells[**at].sums)) {
            return *at;
        }
        let at = self.cells.len();
        self.cells.push(Cell { id: self.next, group: group.clone(), sums: Sums::default() });
        self.next += 1;
        self.at.insert(group, at);
        at
    }
}
