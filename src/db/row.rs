//! A row of an answer.

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Decode, Row as _, Type, ValueRef as _};

use super::Error;

/// A row of an answer.
pub struct Row(Inner);

enum Inner {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    /// The value of a column, by its name or its place from 0: `i64`, `f64`, `bool`, `String`, `&str`, `Vec<u8>`, `&[u8]`, or an
    /// `Option` of them. A flag that stands in a `bigint` is read as `i64`.
    ///
    /// # Errors
    /// Where there is no such column, or it holds another type. A null that is read without `Option` is an error on PostgreSQL
    /// and zero or empty on SQLite: read what may be null as an `Option`.
    pub fn get<'r, T>(&'r self, column: impl ColumnIndex<SqliteRow> + ColumnIndex<PgRow>) -> Result<T, Error>
    where
        T: Decode<'r, sqlx::Sqlite> + Type<sqlx::Sqlite> + Decode<'r, sqlx::Postgres> + Type<sqlx::Postgres>,
    {
        match &self.0 {
            Inner::Sqlite(row) => Ok(row.try_get(column)?),
            Inner::Postgres(row) => Ok(row.try_get(column)?),
        }
    }

    /// Whether nothing stands in a column.
    ///
    /// # Errors
    /// Where there is no such column.
    pub fn is_null(&self, column: impl ColumnIndex<SqliteRow> + ColumnIndex<PgRow>) -> Result<bool, Error> {
        match &self.0 {
            Inner::Sqlite(row) => Ok(row.try_get_raw(column)?.is_null()),
            Inner::Postgres(row) => Ok(row.try_get_raw(column)?.is_null()),
        }
    }
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self(Inner::Sqlite(row))
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self(Inner::Postgres(row))
    }
}
