//! The values of the writer's statements, in the order of their columns.

use std::borrow::Cow;
use std::iter::once;
use std::sync::Arc;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, Sqlite, Type};

use super::dimensions::Dimensions;
use super::field::{Field, SqlError, Stored};
use super::rollup::Cell;
use crate::db::{Query, Value};
use crate::types::RequestId;
use crate::usage::columns::{ALONE_OWN, ATTEMPT, OWN, SUMS};
use crate::usage::rows::{AttemptRow, Settlement};

/// Dimensions under their number, of an hour.
pub(super) fn dimension_values(
    (number, hour): (i64, i64),
    dimensions: &Dimensions,
) -> impl Iterator<Item = Stored<'_>> {
    [Stored::Number(number), Stored::Number(hour)].into_iter().chain(dimensions.stored())
}

/// A request, with its only attempt where its row holds that, and the number of its dimensions.
pub(super) fn request_values(settlement: &Settlement, dimensions: i64) -> impl Iterator<Item = Stored<'_>> {
    let own = OWN.iter().map(|column| (column.stored)(&settlement.request));
    let alone = settlement.only_attempt();
    let of_attempt = ALONE_OWN.iter().map(move |column| alone.map_or(Stored::Null, |row| (column.stored)(row)));
    once(Stored::Number(dimensions)).chain(own).chain(of_attempt)
}

/// An attempt that has a row of its own.
pub(super) fn attempt_values(request: RequestId, row: &AttemptRow) -> impl Iterator<Item = Stored<'_>> {
    once(Stored::Made(request.text().as_str().into())).chain(ATTEMPT.iter().map(|column| (column.stored)(row)))
}

/// An hourly sum.
pub(super) fn cell_values(Cell { id, group, sums }: &Cell) -> impl Iterator<Item = Stored<'_>> {
    let numbers = [*id, group.hour, group.dimensions].map(Stored::Number);
    let of_sums = SUMS.iter().map(|column| (column.stored)(sums));
    numbers.into_iter().chain(once(group.user.stored())).chain(of_sums)
}

/// Binds values to a statement that both databases understand.
pub(super) fn bind<'q>(query: Query<'q>, values: impl Iterator<Item = Stored<'q>>) -> Query<'q> {
    values.fold(query, Query::bind)
}

impl<'q> From<Stored<'q>> for Value<'q> {
    fn from(stored: Stored<'q>) -> Self {
        match stored {
            Stored::Null => Self::Null,
            Stored::Number(number) => Self::Integer(Some(number)),
            Stored::Text(text) => Self::Text(Some(Cow::Borrowed(text))),
            Stored::Word(word) => Self::Text(Some(Cow::Borrowed(word))),
            Stored::Made(text) => Self::Text(Some(Cow::Owned((*text).to_owned()))),
            Stored::Bytes(bytes) => Self::Bytes(Some(Cow::Owned(bytes))),
        }
    }
}

/// Parameters of a statement of the writer's own connection, whose texts are shared with the rows instead of copied; the first
/// that cannot be encoded fails it at the end.
#[derive(Default)]
pub(super) struct Values {
    arguments: SqliteArguments,
    failed: Option<sqlx::error::BoxDynError>,
}

impl Values {
    /// None yet, with room for so many.
    pub(super) fn with_room(parameters: usize) -> Self {
        let mut values = Self::default();
        values.arguments.reserve(parameters, 0);
        values
    }

    /// Adds some.
    pub(super) fn put<'a>(&mut self, values: impl Iterator<Item = Stored<'a>>) {
        values.for_each(|value| match value {
            Stored::Null => self.add(None::<i64>),
            Stored::Number(number) => self.add(number),
            Stored::Text(text) => self.add(text.clone()),
            Stored::Word(word) => self.add(Arc::<str>::from(word)),
            Stored::Made(text) => self.add(text),
            Stored::Bytes(bytes) => self.add(bytes),
        });
    }

    /// What a statement takes.
    ///
    /// # Errors
    /// Where a value cannot be encoded.
    pub(super) fn finish(self) -> Result<SqliteArguments, SqlError> {
        self.failed.map_or(Ok(self.arguments), |error| Err(sqlx::Error::Encode(error).into()))
    }

    fn add<'q, T: Encode<'q, Sqlite> + Type<Sqlite>>(&mut self, value: T) {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
    }
}
