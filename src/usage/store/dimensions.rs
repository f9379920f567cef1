//! What many requests have in common: written once an hour, so that a request's row is little but numbers.

use std::collections::VecDeque;
use std::sync::Arc;

use super::field::Stored;
use crate::types::QuickMap;
use crate::usage::columns::{ALONE_SHARED, SHARED};
use crate::usage::rows::{AttemptRow, RequestRow};

/// So many of the last dimensions are compared before the others are searched.
const RECENT: usize = 8;

/// What a request has in common with others: the shared columns, and those of its only attempt.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::usage) struct Dimensions(Box<[Value]>);

/// A value that outlives its row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Value {
    Null,
    Number(i64),
    Text(Arc<str>),
}

/// The dimensions that the writer knows.
#[derive(Debug)]
pub(in crate::usage) struct Known {
    next: i64,
    at: QuickMap<Dimensions, i64>,
    /// Those that most requests have, by when they were met last.
    recent: VecDeque<(i64, Dimensions)>,
    /// Those that are not committed.
    new: Vec<(i64, Dimensions)>,
}

/// What stands in the shared columns of a request.
fn stored<'a>(row: &'a RequestRow, alone: Option<&'a AttemptRow>) -> impl Iterator<Item = Stored<'a>> {
    let of_request = SHARED.iter().map(|column| (column.stored)(row));
    of_request.chain(ALONE_SHARED.iter().map(move |column| alone.map_or(Stored::Null, |row| (column.stored)(row))))
}

impl Dimensions {
    /// The dimensions of a request; `alone` is the attempt that its row holds.
    pub(in crate::usage) fn of(row: &RequestRow, alone: Option<&AttemptRow>) -> Self {
        Self(stored(row, alone).map(Value::of).collect())
    }

    /// What stands in the columns.
    pub(in crate::usage) fn stored(&self) -> impl Iterator<Item = Stored<'_>> {
        self.0.iter().map(Value::stored)
    }

    /// Whether a request has these dimensions: as if its own were made and compared, without touching what its texts are
    /// counted in, which other threads have in their caches.
    fn are_of(&self, row: &RequestRow, alone: Option<&AttemptRow>) -> bool {
        self.0.iter().zip(stored(row, alone)).all(|(value, stored)| value.is(&stored))
    }
}

impl Value {
    fn of(stored: Stored<'_>) -> Self {
        match stored {
            Stored::Null | Stored::Bytes(_) => Self::Null,
            Stored::Number(number) => Self::Number(number),
            Stored::Text(text) => Self::Text(text.clone()),
            Stored::Word(word) => Self::Text(word.into()),
            Stored::Made(text) => Self::Text(text),
        }
    }

    fn stored(&self) -> Stored<'_> {
        match self {
            Self::Null => Stored::Null,
            Self::Number(number) => Stored::Number(*number),
            Self::Text(text) => Stored::Text(text),
        }
    }

    fn is(&self, stored: &Stored<'_>) -> bool {
        match (self, stored) {
            (Self::Null, Stored::Null) => true,
            (Self::Number(ours), Stored::Number(theirs)) => ours == theirs,
            (Self::Text(ours), Stored::Text(theirs)) => ours == *theirs,
            (Self::Text(ours), Stored::Word(theirs)) => **ours == **theirs,
            (Self::Text(ours), Stored::Made(theirs)) => ours == theirs,
            _ => false,
        }
    }
}

impl Known {
    /// None; their numbers begin with `next`.
    pub(in crate::usage) fn new(next: i64) -> Self {
        Self { next, at: QuickMap::default(), recent: VecDeque::new(), new: Vec::new() }
    }

    /// Forgets all: those that were not committed are lost.
    pub(in crate::usage) fn clear(&mut self) {
        self.at.clear();
        self.recent.clear();
        self.new.clear();
    }

    /// Numbers new dimensions from `next` at least.
    pub(in crate::usage) fn number_from(&mut self, next: i64) {
        self.clear();
        self.next = self.next.max(next);
    }

    pub(in crate::usage) fn len(&self) -> usize {
        self.at.len()
    }

    /// The number of a request's dimensions.
    pub(in crate::usage) fn number(&mut self, row: &RequestRow, alone: Option<&AttemptRow>) -> i64 {
        if let Some(place) = self.recent.iter().position(|(_, dimensions)| dimensions.are_of(row, alone)) {
            // The next request most likely has the same: a comparison goes over every column.
            self.recent.swap(0, place);
            return self.recent[0].0;
        }
        let dimensions = Dimensions::of(row, alone);
        let number = match self.at.get(&dimensions) {
            Some(number) => *number,
            None => {
                let number = self.next;
                self.next += 1;
                self.new.push((number, dimensions.clone()));
                self.at.insert(dimensions.clone(), number);
                number
            }
        };
        self.recent.truncate(RECENT - 1);
        self.recent.push_front((number, dimensions));
        number
    }

    /// The dimensions that are not committed.
    pub(in crate::usage) fn unwritten(&self) -> &[(i64, Dimensions)] {
        &self.new
    }

    /// Notes that the new dimensions are committed.
    pub(in crate::usage) fn written(&mut self) {
        self.new.clear();
    }
}
