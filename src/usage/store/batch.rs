//! What a batch writes: rows of requests and attempts, and the dimensions and hourly sums that change with them.

use super::dimensions::Dimensions;
use super::field::Stored;
use super::rollup::Rollups;
use super::statements::{Batch, Rows};
use super::values::{attempt_values, cell_values, dimension_values, request_values};
use crate::types::RequestId;
use crate::usage::rows::{AttemptRow, RequestRow, Settlement};
use crate::usage::settling::Amendment;

/// What a writer knows from one batch to the next.
pub(super) struct Books {
    rollups: Rollups,
    skew: i64,
}

/// What a batch changes in the books.
pub(super) struct Added {
    /// The number of each request's dimensions.
    dimensions: Vec<i64>,
    /// The positions of the cells that changed.
    cells: Vec<usize>,
    /// How far the id and the start of any request lie apart at most, this batch's too.
    pub(super) skew: i64,
}

/// The rows of a batch that are not written yet.
pub(super) struct Contents<'a> {
    rollups: &'a Rollups,
    dimensions: &'a [(i64, Dimensions)],
    requests: &'a [&'a Settlement],
    numbers: &'a [i64],
    attempts: std::vec::IntoIter<(RequestId, &'a AttemptRow)>,
    cells: &'a [usize],
}

/// The rows of one part of a batch.
pub(super) struct Part<'a> {
    rollups: &'a Rollups,
    dimensions: &'a [(i64, Dimensions)],
    requests: &'a [&'a Settlement],
    numbers: &'a [i64],
    attempts: Vec<(RequestId, &'a AttemptRow)>,
    cells: &'a [usize],
}

impl Books {
    /// Empty ones; the numbers of rows begin with these.
    pub(super) fn new((next, next_dimensions): (i64, i64), skew: i64) -> Self {
        Self { rollups: Rollups::new(next, next_dimensions), skew }
    }

    /// Forgets what was not committed, and all that it adds to.
    pub(super) fn clear(&mut self) {
        self.rollups.clear();
    }

    /// Numbers new rows from these at least: the database may be another than before.
    pub(super) fn number_from(&mut self, (next, next_dimensions): (i64, i64)) {
        self.rollups.number_from(next, next_dimensions);
    }

    /// How far the id and the start of any request lie apart at most, as it is stored.
    pub(super) fn skew(&self) -> i64 {
        self.skew
    }

    /// Adds a batch to the hourly sums.
    pub(super) fn add(&mut self, batch: &[&Settlement], amendments: &[Amendment]) -> Added {
        let rows = batch.iter().map(|one| &*one.request).chain(amendments.iter().map(|one| &one.request));
        if let Some(last) = rows.map(|row| row.started_at).max() {
            self.rollups.make_room(last.hour().0);
        }
        let (dimensions, mut cells): (Vec<_>, Vec<_>) = batch.iter().map(|one| self.rollups.add(one)).unzip();
        let costs =
            amendments.iter().map(|one| self.rollups.add_cost(&one.request, one.attempt.cost.unwrap_or_default()));
        cells.extend(costs);
        cells.sort_unstable();
        cells.dedup();
        let skew = batch.iter().map(|settlement| skew_of(&settlement.request)).max().unwrap_or(0).max(self.skew);
        Added { dimensions, cells, skew }
    }

    /// The rows of a batch that was added.
    pub(super) fn contents<'a>(&'a self, batch: &'a [&'a Settlement], added: &'a Added) -> Contents<'a> {
        let apart = batch.iter().filter(|one| one.only_attempt().is_none());
        let attempts: Vec<_> = apart.flat_map(|one| one.attempts.iter().map(|row| (one.request.id, row))).collect();
        Contents {
            rollups: &self.rollups,
            dimensions: self.rollups.known().unwritten(),
            requests: batch,
            numbers: &added.dimensions,
            attempts: attempts.into_iter(),
            cells: &added.cells,
        }
    }

    /// Notes that a batch is committed.
    pub(super) fn written(&mut self, added: &Added) {
        self.rollups.written();
        self.skew = added.skew;
    }
}

impl<'a> Contents<'a> {
    pub(super) fn rows(&self) -> Rows {
        Rows {
            dimensions: self.dimensions.len(),
            requests: self.requests.len(),
            attempts: self.attempts.len(),
            cells: self.cells.len(),
        }
    }

    /// The next rows, as many as a part has.
    pub(super) fn take(&mut self, part: Batch) -> Part<'a> {
        Part {
            rollups: self.rollups,
            dimensions: take(&mut self.dimensions, part.dimensions),
            requests: take(&mut self.requests, part.requests),
            numbers: take(&mut self.numbers, part.requests),
            attempts: self.attempts.by_ref().take(part.attempts).collect(),
            cells: take(&mut self.cells, part.cells),
        }
    }
}

impl Part<'_> {
    pub(super) fn dimensions(&self) -> impl Iterator<Item = Stored<'_>> {
        let hour = self.rollups.hour();
        self.dimensions.iter().flat_map(move |(number, dimensions)| dimension_values((*number, hour), dimensions))
    }

    pub(super) fn requests(&self) -> impl Iterator<Item = Stored<'_>> {
        let numbered = self.requests.iter().zip(self.numbers);
        numbered.flat_map(|(settlement, number)| request_values(settlement, *number))
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = Stored<'_>> {
        self.attempts.iter().flat_map(|(request, row)| attempt_values(*request, row))
    }

    pub(super) fn cells(&self) -> impl Iterator<Item = Stored<'_>> {
        self.cells.iter().flat_map(|at| cell_values(self.rollups.cell(*at)))
    }
}

fn take<'a, T>(rest: &mut &'a [T], count: usize) -> &'a [T] {
    let (head, tail) = rest.split_at(count.min(rest.len()));
    *rest = tail;
    head
}

/// How far a request's id and its start lie apart, in microseconds.
fn skew_of(row: &RequestRow) -> i64 {
    let mut millis = [0; 8];
    millis[2..].copy_from_slice(&row.id.as_bytes()[..6]);
    let micros = i64::from_be_bytes(millis).saturating_mul(1_000);
    micros.saturating_sub(row.started_at.0).saturating_abs()
}
