//! The ledger's columns, each declared once: statements, binds, reads, report groups and filters follow from these tables.
//!
//! A column is added by a field of its row, a line here, and a migration that restates the view; `tests/columns.rs` prints the
//! view where the database has another.

use std::hash::{Hash, Hasher};
use std::sync::LazyLock;

use super::rows::{Assignment, AttemptRow, RequestRow, Status};
use super::store::field::{Field, Found, SqlError, Stored, number};
use super::store::sums::Sums;
use crate::chat::Usage;

/// A column of the table or view of `R`, and where else it stands.
#[derive(Debug)]
pub struct Column<R: 'static, H> {
    /// Its name in SQL.
    pub(super) name: &'static str,
    /// What stands in it.
    pub(super) stored: fn(&R) -> Stored<'_>,
    /// Reads it into its row.
    pub(super) read: fn(&mut R, Found<'_>) -> Result<(), SqlError>,
    /// Where it stands.
    pub(super) home: H,
    /// The name by which reports group and lists filter; empty where they do not.
    pub(super) dimension: &'static str,
    /// Whether a filter's value for it is a number.
    pub(super) is_number: bool,
    /// Whether it is read with a single request only.
    pub(super) is_detail: bool,
    /// Whether it is read with hourly sums, though reports do not group by it.
    pub(super) is_apart: bool,
}

/// Where a column of a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// With what many requests have in common.
    Shared,
    /// There as well; rows that were written before it moved there hold it themselves.
    Moved,
    /// In the request's row.
    Own,
    /// In the request's row; hourly sums stand apart for each of its values.
    Summed,
}

/// Where a column of a request's only attempt stands, which has no row of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alone {
    /// It is the request's column of the same name.
    Same,
    /// It is always this.
    Always(&'static str),
    /// In the request's row, under this name.
    Own(&'static str),
    /// With what many requests have in common.
    Shared,
}

pub type RequestColumn = Column<RequestRow, Home>;
pub type AttemptColumn = Column<AttemptRow, Alone>;
pub type SumColumn = Column<Sums, ()>;

/// The columns of a request. Tokens come before `estimated`, which is theirs.
pub static REQUEST: [RequestColumn; 38] = [
    own("id", |row| row.id.stored(), |row, found| found.into(&mut row.id)),
    own("started_at", |row| row.started_at.stored(), |row, found| found.into(&mut row.started_at)),
    shared("project", |row| row.project.stored(), |row, found| found.into(&mut row.project)).by("project"),
    shared("key_id", |row| row.key_id.stored(), |row, found| found.into(&mut row.key_id)).by("key"),
    summed("user_id", |row| row.user.stored(), |row, found| found.into(&mut row.user)).by("user"),
    own("session", |row| row.session.stored(), |row, found| found.into(&mut row.session)).by("session"),
    own("tags", |row| row.tags.stored(), |row, found| found.into(&mut row.tags)),
    shared("endpoint", |row| row.endpoint.stored(), |row, found| found.into(&mut row.endpoint)),
    shared("requested_model", |row| row.requested_model.stored(), |row, found| found.into(&mut row.requested_model)),
    shared("provider", |row| row.provider.stored(), |row, found| found.into(&mut row.provider)).by("provider"),
    shared("model", |row| row.model.stored(), |row, found| found.into(&mut row.model)).by("model"),
    shared("route", |row| row.route.stored(), |row, found| found.into(&mut row.route)).by("route"),
    shared("prompt", |row| row.prompt.stored(), |row, found| found.into(&mut row.prompt)).by("prompt"),
    shared("version", |row| row.version.stored(), |row, found| found.into(&mut row.version)).by_number("version"),
    shared(
        "experiment",
        |row| assigned(row, |to| to.experiment.stored()),
        |row, found| assign(found, row, |to| &mut to.experiment),
    )
    .by("experiment"),
    shared("arm", |row| assigned(row, |to| to.arm.stored()), |row, found| assign(found, row, |to| &mut to.arm))
        .by("arm"),
    shared("stream", |row| row.stream.stored(), |row, found| found.into(&mut row.stream)),
    shared("status", |row| row.status.stored(), |row, found| found.into(&mut row.status)).by("status"),
    shared("http_status", http_status, |row, found| {
        row.http_status = Option::<u16>::read(found)?.unwrap_or(0);
        Ok(())
    }),
    shared("error_code", |row| row.error_code.stored(), |row, found| found.into(&mut row.error_code)).by("error"),
    shared("cache", |row| row.cache.stored(), |row, found| found.into(&mut row.cache)).by("cache"),
    own(
        "input_tokens",
        |row| tokens(row.usage, |u| u.input),
        |row, found| counted(found, &mut row.usage, |u| &mut u.input),
    ),
    own(
        "cached_input_tokens",
        |row| tokens(row.usage, |u| u.cached_input),
        |row, found| counted(found, &mut row.usage, |u| &mut u.cached_input),
    ),
    own(
        "cache_write_tokens",
        |row| tokens(row.usage, |u| u.cache_write),
        |row, found| counted(found, &mut row.usage, |u| &mut u.cache_write),
    ),
    own(
        "output_tokens",
        |row| tokens(row.usage, |u| u.output),
        |row, found| counted(found, &mut row.usage, |u| &mut u.output),
    ),
    own(
        "reasoning_tokens",
        |row| tokens(row.usage, |u| u.reasoning),
        |row, found| counted(found, &mut row.usage, |u| &mut u.reasoning),
    ),
    shared("estimated", |row| estimated(row.usage), |row, found| guessed(found, &mut row.usage)).apart(),
    own("cost", |row| row.cost.stored(), |row, found| found.into(&mut row.cost)),
    shared("unpriced", |row| row.unpriced.stored(), |row, found| found.into(&mut row.unpriced)),
    own("saved", |row| row.saved.stored(), |row, found| found.into(&mut row.saved)),
    own("latency_us", |row| measured(row.status, row.latency_us), |row, found| found.into(&mut row.latency_us)),
    own("first_token_us", |row| row.first_token_us.stored(), |row, found| found.into(&mut row.first_token_us)),
    own("overhead_us", |row| row.overhead_us.stored(), |row, found| found.into(&mut row.overhead_us)),
    moved("trace", |row| row.trace.stored(), |row, found| found.into(&mut row.trace)),
    shared("purpose", |row| row.purpose.stored(), |row, found| found.into(&mut row.purpose)).by("purpose"),
    own("of", |row| row.of.stored(), |row, found| found.into(&mut row.of)),
    shared(
        "propensity",
        |row| assigned(row, |to| to.propensity.stored()),
        |row, found| assign(found, row, |to| &mut to.propensity),
    ),
    own("unit", |row| assigned(row, |to| to.unit.stored()), |row, found| assign(found, row, |to| &mut to.unit)),
];

/// The place of what marks requests that the gateway made of its own.
pub const PURPOSE: usize = 34;

/// The columns of an attempt. Tokens come before `estimated`, which is theirs.
pub static ATTEMPT: [AttemptColumn; 21] = [
    always("n", "1", |row| row.n.stored(), |row, found| found.into(&mut row.n)),
    same("provider", |row| row.provider.stored(), |row, found| found.into(&mut row.provider)),
    same("model", |row| row.model.stored(), |row, found| found.into(&mut row.model)),
    same("status", |row| row.status.stored(), |row, found| found.into(&mut row.status)),
    same("http_status", |row| row.http_status.stored(), |row, found| found.into(&mut row.http_status)),
    same("error_code", |row| row.error_code.stored(), |row, found| found.into(&mut row.error_code)),
    always("retryable", "0", |row| row.retryable.stored(), |row, found| found.into(&mut row.retryable)),
    sent("started_at", "sent_at", |row| row.started_at.stored(), |row, found| found.into(&mut row.started_at)),
    sent(
        "latency_us",
        "sent_latency_us",
        |row| measured(row.status, row.latency_us),
        |row, found| found.into(&mut row.latency_us),
    ),
    sent(
        "first_token_us",
        "sent_first_token_us",
        |row| row.first_token_us.stored(),
        |row, found| found.into(&mut row.first_token_us),
    ),
    same(
        "input_tokens",
        |row| tokens(row.usage, |u| u.input),
        |row, found| counted(found, &mut row.usage, |u| &mut u.input),
    ),
    same(
        "cached_input_tokens",
        |row| tokens(row.usage, |u| u.cached_input),
        |row, found| counted(found, &mut row.usage, |u| &mut u.cached_input),
    ),
    same(
        "cache_write_tokens",
        |row| tokens(row.usage, |u| u.cache_write),
        |row, found| counted(found, &mut row.usage, |u| &mut u.cache_write),
    ),
    // Mostly none, which takes no room in a row.
    sent(
        "cache_write_1h_tokens",
        "cache_write_1h_tokens",
        |row| row.usage.filter(|u| u.cache_write_1h > 0).map_or(Stored::Null, |u| number(u.cache_write_1h)),
        |row, found| counted(found, &mut row.usage, |u| &mut u.cache_write_1h),
    ),
    same(
        "output_tokens",
        |row| tokens(row.usage, |u| u.output),
        |row, found| counted(found, &mut row.usage, |u| &mut u.output),
    ),
    same(
        "reasoning_tokens",
        |row| tokens(row.usage, |u| u.reasoning),
        |row, found| counted(found, &mut row.usage, |u| &mut u.reasoning),
    ),
    same("estimated", |row| estimated(row.usage), |row, found| guessed(found, &mut row.usage)),
    same("cost", |row| row.cost.stored(), |row, found| found.into(&mut row.cost)),
    Column::new("rate", Alone::Shared, |row: &AttemptRow| row.rate.stored(), |row, found| found.into(&mut row.rate)),
    sent("reserved", "reserved", |row| row.reserved.stored(), |row, found| found.into(&mut row.reserved)),
    always("role", "null", |row| row.role.stored(), |row, found| found.into(&mut row.role)),
];

/// What hourly sums add up.
pub static SUMS: [SumColumn; 13] = [
    sum("requests", |sums| sums.requests.stored(), |sums, found| found.into(&mut sums.requests)),
    sum("priced", |sums| sums.priced.stored(), |sums, found| found.into(&mut sums.priced)),
    sum("unpriced", |sums| sums.unpriced.stored(), |sums, found| found.into(&mut sums.unpriced)),
    sum("input_tokens", |sums| sums.input.stored(), |sums, found| found.into(&mut sums.input)),
    sum("cached_input_tokens", |sums| sums.cached_input.stored(), |sums, found| found.into(&mut sums.cached_input)),
    sum("cache_write_tokens", |sums| sums.cache_write.stored(), |sums, found| found.into(&mut sums.cache_write)),
    sum("output_tokens", |sums| sums.output.stored(), |sums, found| found.into(&mut sums.output)),
    sum("reasoning_tokens", |sums| sums.reasoning.stored(), |sums, found| found.into(&mut sums.reasoning)),
    sum("cost", |sums| sums.cost.stored(), |sums, found| found.into(&mut sums.cost)),
    sum("saved", |sums| sums.saved.stored(), |sums, found| found.into(&mut sums.saved)),
    sum("latency", |sums| sums.latency.stored(), |sums, found| found.into(&mut sums.latency)),
    sum("first_token", |sums| sums.first_token.stored(), |sums, found| found.into(&mut sums.first_token)),
    sum("overhead", |sums| sums.overhead.stored(), |sums, found| found.into(&mut sums.overhead)),
];

/// Columns that requests have in common with others.
pub static SHARED: LazyLock<Vec<&RequestColumn>> =
    LazyLock::new(|| REQUEST.iter().filter(|column| matches!(column.home, Home::Shared | Home::Moved)).collect());
/// Columns of a request's own row.
pub static OWN: LazyLock<Vec<&RequestColumn>> =
    LazyLock::new(|| REQUEST.iter().filter(|column| matches!(column.home, Home::Own | Home::Summed)).collect());
/// Columns that are read with many requests.
pub static LISTED: LazyLock<Vec<&RequestColumn>> =
    LazyLock::new(|| REQUEST.iter().filter(|column| !column.is_detail).collect());
/// Columns that are read with a single request.
pub static WHOLE: LazyLock<Vec<&RequestColumn>> = LazyLock::new(|| REQUEST.iter().collect());
/// Columns that hourly sums are read by, beside their hour.
pub static GROUPS: LazyLock<Vec<&RequestColumn>> = LazyLock::new(|| {
    let is_group = |column: &&RequestColumn| (!column.dimension.is_empty() && !column.needs_rows()) || column.is_apart;
    REQUEST.iter().filter(is_group).collect()
});
/// Columns of a request's only attempt that stand in the request's own row.
pub static ALONE_OWN: LazyLock<Vec<&AttemptColumn>> =
    LazyLock::new(|| ATTEMPT.iter().filter(|column| matches!(column.home, Alone::Own(_))).collect());
/// Columns of a request's only attempt that stand with what requests have in common.
pub static ALONE_SHARED: LazyLock<Vec<&AttemptColumn>> =
    LazyLock::new(|| ATTEMPT.iter().filter(|column| column.home == Alone::Shared).collect());

type Write<R> = fn(&R) -> Stored<'_>;
type Read<R> = fn(&mut R, Found<'_>) -> Result<(), SqlError>;

impl<R, H> Column<R, H> {
    const fn new(name: &'static str, home: H, stored: Write<R>, read: Read<R>) -> Self {
        Self { name, stored, read, home, dimension: "", is_number: false, is_detail: false, is_apart: false }
    }
}

impl RequestColumn {
    /// Reports group by it under this name.
    const fn by(mut self, dimension: &'static str) -> Self {
        self.dimension = dimension;
        self
    }

    /// Reports group by it under this name, and its values are numbers.
    const fn by_number(mut self, dimension: &'static str) -> Self {
        self.is_number = true;
        self.by(dimension)
    }

    /// Hourly sums are read by it, too.
    const fn apart(mut self) -> Self {
        self.is_apart = true;
        self
    }

    /// Whether hourly sums do not have it.
    pub(super) fn needs_rows(&self) -> bool {
        self.home == Home::Own
    }
}

impl PartialEq for RequestColumn {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for RequestColumn {}

impl Hash for RequestColumn {
    fn hash<S: Hasher>(&self, state: &mut S) {
        self.name.hash(state);
    }
}

impl AttemptColumn {
    /// Its name in a request's row.
    pub(super) fn name_alone(&self) -> &'static str {
        match self.home {
            Alone::Own(name) => name,
            Alone::Same | Alone::Always(_) | Alone::Shared => self.name,
        }
    }
}

/// The names of columns, as a statement lists them.
pub(super) fn names<R: 'static, H: 'static>(columns: impl IntoIterator<Item = &'static Column<R, H>>) -> String {
    columns.into_iter().map(|column| column.name).collect::<Vec<_>>().join(", ")
}

const fn own(name: &'static str, stored: Write<RequestRow>, read: Read<RequestRow>) -> RequestColumn {
    Column::new(name, Home::Own, stored, read)
}

const fn shared(name: &'static str, stored: Write<RequestRow>, read: Read<RequestRow>) -> RequestColumn {
    Column::new(name, Home::Shared, stored, read)
}

const fn summed(name: &'static str, stored: Write<RequestRow>, read: Read<RequestRow>) -> RequestColumn {
    Column::new(name, Home::Summed, stored, read)
}

const fn moved(name: &'static str, stored: Write<RequestRow>, read: Read<RequestRow>) -> RequestColumn {
    let mut column = Column::new(name, Home::Moved, stored, read);
    column.is_detail = true;
    column
}

const fn same(name: &'static str, stored: Write<AttemptRow>, read: Read<AttemptRow>) -> AttemptColumn {
    Column::new(name, Alone::Same, stored, read)
}

const fn always(
    name: &'static str,
    value: &'static str,
    stored: Write<AttemptRow>,
    read: Read<AttemptRow>,
) -> AttemptColumn {
    Column::new(name, Alone::Always(value), stored, read)
}

const fn sent(
    name: &'static str,
    alone: &'static str,
    stored: Write<AttemptRow>,
    read: Read<AttemptRow>,
) -> AttemptColumn {
    Column::new(name, Alone::Own(alone), stored, read)
}

const fn sum(name: &'static str, stored: Write<Sums>, read: Read<Sums>) -> SumColumn {
    Column::new(name, (), stored, read)
}

/// A part of the assignment of a request, which most have not.
fn assigned(row: &RequestRow, part: fn(&Assignment) -> Stored<'_>) -> Stored<'_> {
    row.assigned.as_deref().map_or(Stored::Null, part)
}

fn assign<T: Field>(
    found: Found<'_>,
    row: &mut RequestRow,
    part: fn(&mut Assignment) -> &mut T,
) -> Result<(), SqlError> {
    if let Some(value) = Option::<T>::read(found)? {
        *part(row.assigned.get_or_insert_default()) = value;
    }
    Ok(())
}

fn http_status(row: &RequestRow) -> Stored<'_> {
    if row.http_status == 0 { Stored::Null } else { row.http_status.stored() }
}

/// A request that the process did not survive has no measured latency.
fn measured(status: Status, micros: u64) -> Stored<'static> {
    if status == Status::Unknown { Stored::Null } else { number(micros) }
}

fn tokens(usage: Option<Usage>, of: fn(&Usage) -> u64) -> Stored<'static> {
    usage.map_or(Stored::Null, |usage| number(of(&usage)))
}

fn counted(found: Found<'_>, usage: &mut Option<Usage>, of: fn(&mut Usage) -> &mut u64) -> Result<(), SqlError> {
    if let Some(count) = found.count()? {
        *of(usage.get_or_insert_default()) = count;
    }
    Ok(())
}

fn estimated(usage: Option<Usage>) -> Stored<'static> {
    Stored::Number(usage.is_some_and(|usage| usage.estimated).into())
}

fn guessed(found: Found<'_>, usage: &mut Option<Usage>) -> Result<(), SqlError> {
    let is_estimated = bool::read(found)?;
    match usage {
        Some(usage) => usage.estimated = is_estimated,
        // Of hourly sums nothing else of the tokens is read.
        None if is_estimated => *usage = Some(Usage { estimated: true, ..Usage::default() }),
        None => {}
    }
    Ok(())
}
