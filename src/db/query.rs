//! A statement with its values.

use std::borrow::Cow;

use futures_util::TryStreamExt;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgTypeInfo};
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Encode, Postgres, SqlSafeStr as _, SqlStr, Type};

use super::executor::Executor;
use super::lent::Lent;
use super::{Error, Row};

/// A statement of SQL that both databases understand, with `$1` for its first value.
pub fn query<'q>(sql: &'static str) -> Query<'q> {
    Query { sql: sql.into_sql_str(), values: Vec::new() }
}

/// A statement that is put together at run time, from the program's own text: what a caller sent goes into
/// [`Query::bind`] only.
pub fn assembled<'q>(sql: String) -> Query<'q> {
    Query { sql: AssertSqlSafe(sql).into_sql_str(), values: Vec::new() }
}

/// A statement and its values.
#[must_use]
pub struct Query<'q> {
    sql: SqlStr,
    values: Vec<Value<'q>>,
}

/// A value of a statement; each knows its type where it is null, since PostgreSQL asks.
pub enum Value<'q> {
    /// Nothing, of the type of the column that it is inserted into.
    Null,
    /// A number, a time in microseconds, an amount in nano-dollars.
    Integer(Option<i64>),
    /// A `double precision`.
    Real(Option<f64>),
    /// A `boolean`.
    Flag(Option<bool>),
    /// A `text`.
    Text(Option<Cow<'q, str>>),
    /// A `blob` or `bytea`.
    Bytes(Option<Cow<'q, [u8]>>),
}

impl<'q> Query<'q> {
    /// Adds the next value.
    pub fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Runs a statement that changes rows; gives how many it changed. On a [`Db`](super::Db) it is a transaction of its own.
    ///
    /// # Errors
    /// Where the statement fails.
    pub async fn execute<'e>(self, on: impl Into<Executor<'e>>) -> Result<u64, Error> {
        let lent = on.into().writing().await?;
        match lent {
            Lent::Sqlite(mut lent, writes) => {
                let query = sqlx::query_with(self.sql, for_sqlite(self.values)?);
                let ended = query.execute(&mut *lent).await;
                writes.note(&ended);
                Ok(ended?.rows_affected())
            }
            Lent::Postgres(mut lent) => {
                let query = sqlx::query_with(self.sql, for_postgres(self.values)?);
                Ok(Box::pin(query.execute(&mut *lent)).await?.rows_affected())
            }
        }
    }

    /// Reads all rows. On a [`Db`](super::Db) a query that only reads.
    ///
    /// # Errors
    /// Where the statement fails.
    pub async fn fetch_all<'e>(self, on: impl Into<Executor<'e>>) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.rows(on.into(), |row| -> Result<(), Error> {
            rows.push(row);
            Ok(())
        })
        .await?;
        Ok(rows)
    }

    /// Reads one row, if there is any.
    ///
    /// # Errors
    /// Where the statement fails.
    pub async fn fetch_optional<'e>(self, on: impl Into<Executor<'e>>) -> Result<Option<Row>, Error> {
        let lent = on.into().reading().await?;
        match lent {
            Lent::Sqlite(mut lent, _) => {
                let query = sqlx::query_with(self.sql, for_sqlite(self.values)?);
                Ok(query.fetch_optional(&mut *lent).await?.map(Row::from))
            }
            Lent::Postgres(mut lent) => {
                let query = sqlx::query_with(self.sql, for_postgres(self.values)?);
                Ok(Box::pin(query.fetch_optional(&mut *lent)).await?.map(Row::from))
            }
        }
    }

    /// Reads the one row of an answer that always has one.
    ///
    /// # Errors
    /// Where the statement fails or gives no row.
    pub async fn fetch_one<'e>(self, on: impl Into<Executor<'e>>) -> Result<Row, Error> {
        self.fetch_optional(on).await?.ok_or(Error::Sql(sqlx::Error::RowNotFound))
    }

    /// Goes through the rows one by one, so that a long answer is never in memory as a whole.
    ///
    /// # Errors
    /// Where the statement or `see` fails; no later row is read then.
    pub async fn each<'e, E: From<Error>>(
        self,
        on: impl Into<Executor<'e>>,
        mut see: impl FnMut(&Row) -> Result<(), E>,
    ) -> Result<(), E> {
        self.rows(on.into(), |row| see(&row)).await
    }

    async fn rows<E: From<Error>>(self, on: Executor<'_>, mut see: impl FnMut(Row) -> Result<(), E>) -> Result<(), E> {
        let lent = on.reading().await?;
        match lent {
            Lent::Sqlite(mut lent, _) => {
                let mut rows = sqlx::query_with(self.sql, for_sqlite(self.values)?).fetch(&mut *lent);
                while let Some(row) = rows.try_next().await.map_err(Error::Sql)? {
                    see(row.into())?;
                }
            }
            Lent::Postgres(mut lent) => {
                let mut rows = sqlx::query_with(self.sql, for_postgres(self.values)?).fetch(&mut *lent);
                while let Some(row) = rows.try_next().await.map_err(Error::Sql)? {
                    see(row.into())?;
                }
            }
        }
        Ok(())
    }
}

fn for_sqlite(values: Vec<Value<'_>>) -> Result<SqliteArguments, Error> {
    let mut arguments = SqliteArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Null => arguments.add(None::<i64>),
            Value::Integer(number) => arguments.add(number),
            Value::Real(number) => arguments.add(number),
            Value::Flag(flag) => arguments.add(flag),
            Value::Text(text) => arguments.add(text.as_deref()),
            Value::Bytes(bytes) => arguments.add(bytes.as_deref()),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

fn for_postgres(values: Vec<Value<'_>>) -> Result<PgArguments, Error> {
    let mut arguments = PgArguments::default();
    arguments.reserve(values.len(), 0);
    for value in values {
        let added = match value {
            Value::Null => arguments.add(Untyped),
            Value::Integer(number) => arguments.add(number),
            Value::Real(number) => arguments.add(number),
            Value::Flag(flag) => arguments.add(flag),
            Value::Text(text) => arguments.add(text.as_deref()),
            Value::Bytes(bytes) => arguments.add(bytes.as_deref()),
        };
        added.map_err(sqlx::Error::Encode)?;
    }
    Ok(arguments)
}

/// A null whose type PostgreSQL takes from its place.
struct Untyped;

impl Type<Postgres> for Untyped {
    fn type_info() -> PgTypeInfo {
        // Zero leaves a parameter's type to the server.
        PgTypeInfo::with_oid(Oid(0))
    }
}

impl Encode<'_, Postgres> for Untyped {
    fn encode_by_ref(&self, _: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Ok(IsNull::Yes)
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<Option<f64>> for Value<'_> {
    fn from(number: Option<f64>) -> Self {
        Self::Real(number)
    }
}

impl From<bool> for Value<'_> {
    fn from(flag: bool) -> Self {
        Self::Flag(Some(flag))
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(text: &'q str) -> Self {
        Self::Text(Some(Cow::Borrowed(text)))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(text: Option<&'q str>) -> Self {
        Self::Text(text.map(Cow::Borrowed))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(Cow::Owned(text)))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(text: Option<String>) -> Self {
        Self::Text(text.map(Cow::Owned))
    }
}

impl<'q> From<&'q [u8]> for Value<'q> {
    fn from(bytes: &'q [u8]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(bytes)))
    }
}

impl<'q> From<Option<&'q [u8]>> for Value<'q> {
    fn from(bytes: Option<&'q [u8]>) -> Self {
        Self::Bytes(bytes.map(Cow::Borrowed))
    }
}
