//! How the fields of rows stand in columns, and how they are read back.

use std::sync::Arc;

use super::histogram::Histogram;
use crate::db::{self, Row};
use crate::types::{NanoSum, Nanos, RequestId, Timestamp};
use crate::usage::rows::{CacheState, Purpose, Role, Status};

/// What a statement fails with.
pub(in crate::usage) type SqlError = db::Error;

/// A value on its way into a column. What a row shares with others is borrowed.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::usage) enum Stored<'a> {
    Null,
    Number(i64),
    Text(&'a Arc<str>),
    /// One of our own words.
    Word(&'static str),
    /// A text made for this column.
    Made(Arc<str>),
    Bytes(Vec<u8>),
}

/// A column of a row that was read.
#[derive(Clone, Copy)]
pub(in crate::usage) struct Found<'r> {
    row: &'r Row,
    at: usize,
}

/// The type of a row's field.
pub(in crate::usage) trait Field: Sized {
    /// What stands in the field's column.
    fn stored(&self) -> Stored<'_>;

    /// The field of what stands there.
    ///
    /// # Errors
    /// Where that is of another type.
    fn read(found: Found<'_>) -> Result<Self, SqlError>;
}

impl<'r> Found<'r> {
    /// The column at a position of `row`.
    pub(in crate::usage) fn at(row: &'r Row, at: usize) -> Self {
        Self { row, at }
    }

    /// Reads into a field.
    ///
    /// # Errors
    /// Where the column has another type.
    pub(in crate::usage) fn into<T: Field>(self, field: &mut T) -> Result<(), SqlError> {
        *field = T::read(self)?;
        Ok(())
    }

    /// A count; below zero there is none.
    ///
    /// # Errors
    /// Where the column is no number.
    pub(in crate::usage) fn count(self) -> Result<Option<u64>, SqlError> {
        let number: Option<i64> = self.row.get(self.at)?;
        Ok(number.map(|number| u64::try_from(number).unwrap_or(0)))
    }

    fn number(self) -> Result<i64, SqlError> {
        self.row.get(self.at)
    }

    fn text(self) -> Result<Option<&'r str>, SqlError> {
        self.row.get(self.at)
    }

    /// That the column holds what no statement of ours writes.
    fn unreadable(self) -> SqlError {
        SqlError::unreadable(&self.at.to_string())
    }
}

/// A count as a column can hold it.
pub(in crate::usage) fn number(count: u64) -> Stored<'static> {
    Stored::Number(i64::try_from(count).unwrap_or(i64::MAX))
}

impl<T: Field> Field for Option<T> {
    fn stored(&self) -> Stored<'_> {
        self.as_ref().map_or(Stored::Null, Field::stored)
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        if found.row.is_null(found.at)? { Ok(None) } else { T::read(found).map(Some) }
    }
}

impl Field for Arc<str> {
    fn stored(&self) -> Stored<'_> {
        Stored::Text(self)
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        Ok(found.text()?.unwrap_or_default().into())
    }
}

impl Field for i64 {
    fn stored(&self) -> Stored<'_> {
        Stored::Number(*self)
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        found.number()
    }
}

impl Field for u64 {
    fn stored(&self) -> Stored<'_> {
        number(*self)
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        Ok(found.count()?.unwrap_or(0))
    }
}

impl Field for u32 {
    fn stored(&self) -> Stored<'_> {
        Stored::Number((*self).into())
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        u32::try_from(found.number()?).map_err(|_| found.unreadable())
    }
}

impl Field for u16 {
    fn stored(&self) -> Stored<'_> {
        Stored::Number((*self).into())
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        u16::try_from(found.number()?).map_err(|_| found.unreadable())
    }
}

impl Field for bool {
    fn stored(&self) -> Stored<'_> {
        Stored::Number((*self).into())
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        Ok(found.number()? != 0)
    }
}

impl Field for Nanos {
    fn stored(&self) -> Stored<'_> {
        Stored::Number(self.0)
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        found.number().map(Self)
    }
}

/// A sum that its column has room for, as hourly sums make sure.
impl Field for i128 {
    fn stored(&self) -> Stored<'_> {
        Stored::Number(i64::try_from(*self).unwrap_or(i64::MAX))
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        found.number().map(Self::from)
    }
}

impl Field for NanoSum {
    fn stored(&self) -> Stored<'_> {
        self.0.stored()
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        i128::read(found).map(Self)
    }
}

impl Field for Timestamp {
    fn stored(&self) -> Stored<'_> {
        Stored::Number(self.0)
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        found.number().map(Self)
    }
}

impl Field for RequestId {
    fn stored(&self) -> Stored<'_> {
        Stored::Made(self.text().as_str().into())
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        found.text()?.and_then(|text| text.parse().ok()).ok_or_else(|| found.unreadable())
    }
}

impl Field for Status {
    fn stored(&self) -> Stored<'_> {
        Stored::Word(self.text())
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        Ok(Self::read(found.text()?.unwrap_or_default()))
    }
}

impl Field for Role {
    fn stored(&self) -> Stored<'_> {
        Stored::Word(self.text())
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        let text = found.text()?.unwrap_or_default();
        Self::ALL.into_iter().find(|role| role.text() == text).ok_or_else(|| found.unreadable())
    }
}

impl Field for CacheState {
    fn stored(&self) -> Stored<'_> {
        self.text().map_or(Stored::Null, Stored::Word)
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        found.text().map(Self::read)
    }
}

impl Field for Purpose {
    fn stored(&self) -> Stored<'_> {
        Stored::Word(self.text())
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        found.text()?.and_then(Self::read).ok_or_else(|| found.unreadable())
    }
}

impl Field for Histogram {
    fn stored(&self) -> Stored<'_> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        Stored::Bytes(bytes)
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        let mut histogram = Self::default();
        histogram.merge_bytes(found.row.get(found.at)?);
        Ok(histogram)
    }
}

/// Tags are a JSON object; a name that stands there twice keeps its last value.
impl Field for Vec<(Arc<str>, Arc<str>)> {
    fn stored(&self) -> Stored<'_> {
        if self.is_empty() {
            return Stored::Null;
        }
        let object: serde_json::Map<_, _> =
            self.iter().map(|(name, value)| (name.to_string(), (**value).into())).collect();
        Stored::Made(serde_json::Value::Object(object).to_string().into())
    }

    fn read(found: Found<'_>) -> Result<Self, SqlError> {
        let text = found.text()?.unwrap_or("{}");
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).unwrap_or_default();
        Ok(object.into_iter().map(|(name, value)| (name.into(), value.as_str().unwrap_or_default().into())).collect())
    }
}
