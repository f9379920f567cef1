//! The values of the writer's statements, in the order of their columns.

use std::sync::Arc;

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments, Encode, Sqlite, Type};

use super::dimensions::Dimensions;
use super::field::{Field, Stored};
use super::rollup::Cell;
use crate::types::RequestId;
use crate::usage::columns::{ALONE_OWN, ATTEMPT, OWN, SUMS};
use crate::usage::rows::{AttemptRow, Settlement};

/// Parameters of a statement; the first that cannot be encoded fails it at the end.
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

    /// Dimensions under their number, of an hour.
    pub(super) fn dimensions(&mut self, (number, hour): (i64, i64), dimensions: &Dimensions) {
        self.add(number);
        self.add(hour);
        dimensions.stored().for_each(|value| self.put(value));
    }

    /// A request, with its only attempt where its row holds that, and the number of its dimensions.
    pub(super) fn request(&mut self, settlement: &Settlement, dimensions: i64) {
        self.add(dimensions);
        OWN.iter().for_each(|column| self.put((column.stored)(&settlement.request)));
        let alone = settlement.only_attempt();
        ALONE_OWN.iter().for_each(|column| self.put(alone.map_or(Stored::Null, |row| (column.stored)(row))));
    }

    /// An attempt that has a row of its own.
    pub(super) fn attempt(&mut self, request: RequestId, row: &AttemptRow) {
        self.put(request.stored());
        ATTEMPT.iter().for_each(|column| self.put((column.stored)(row)));
    }

    /// An hourly sum.
    pub(super) fn cell(&mut self, Cell { id, group, sums }: &Cell) {
        self.add(*id);
        self.add(group.hour);
        self.add(group.dimensions);
        self.put(group.user.stored());
        SUMS.iter().for_each(|column| self.put((column.stored)(sums)));
    }

    /// What a statement takes.
    ///
    /// # Errors
    /// Where a value cannot be encoded.
    pub(super) fn finish(self) -> Result<SqliteArguments, sqlx::Error> {
        self.failed.map_or(Ok(self.arguments), |error| Err(sqlx::Error::Encode(error)))
    }

    fn put(&mut self, value: Stored<'_>) {
        match value {
            Stored::Null => self.add(None::<i64>),
            Stored::Number(number) => self.add(number),
            Stored::Text(text) => self.add(text.clone()),
            Stored::Word(word) => self.add(Arc::<str>::from(word)),
            Stored::Made(text) => self.add(text),
            Stored::Bytes(bytes) => self.add(bytes),
        }
    }

    fn add<'q, T: Encode<'q, Sqlite> + Type<Sqlite>>(&mut self, value: T) {
        if let Err(error) = self.arguments.add(value) {
            self.failed.get_or_insert(error);
        }
    }
}
