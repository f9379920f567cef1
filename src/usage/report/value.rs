//! The value of a group of a report.

use std::fmt;
use std::sync::Arc;

use jiff::civil::Date;
use serde::{Serialize, Serializer};

use crate::types::Timestamp;

/// The value of a group. Nothing comes before something.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say all")]
pub enum Value {
    Null,
    Number(i64),
    Text(Arc<str>),
    /// The start of an hour, and how many seconds the clocks that it is shown by are ahead of UTC.
    Hour(Timestamp, i32),
    Day(Date),
    Month(Date),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
            Self::Hour(hour, 0) => write!(f, "{}Z", hour.civil()),
            Self::Hour(hour, ahead) => {
                let shown = Timestamp(hour.0.saturating_add(i64::from(*ahead) * 1_000_000)).civil();
                let (sign, minutes) = (if *ahead < 0 { '-' } else { '+' }, ahead.unsigned_abs() / 60);
                write!(f, "{shown}{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            Self::Day(day) => write!(f, "{day}"),
            Self::Month(month) => write!(f, "{:04}-{:02}", month.year(), month.month()),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Number(number) => serializer.serialize_i64(*number),
            _ => serializer.collect_str(self),
        }
    }
}
