//! Which of the two databases it is, and the little that a store must write in two ways.

use std::borrow::Cow;

/// Which database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Engine {
    /// The members of the JSON object of texts in `column`, as `from` reads them: rows of a `key` and a `value`, and none where
    /// the column is null.
    #[must_use]
    pub fn members(self, column: &str) -> String {
        match self {
            Self::Sqlite => format!("json_each({column})"),
            Self::Postgres => format!("json_each_text(cast({column} as json))"),
        }
    }

    /// A text as it can stand in a column: PostgreSQL takes no NUL character, so `U+FFFD` stands for it there.
    #[must_use]
    pub fn storable(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Postgres if text.contains('\0') => Cow::Owned(text.replace('\0', "\u{fffd}")),
            Self::Sqlite | Self::Postgres => Cow::Borrowed(text),
        }
    }
}
