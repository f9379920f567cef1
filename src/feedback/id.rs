//! Identifiers of feedback.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use uuid::Uuid;

/// The id of one feedback, a UUIDv7. It stays where a later value takes the place of an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FeedbackId(Uuid);

impl FeedbackId {
    /// A new id, for now.
    pub(super) fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

impl FromStr for FeedbackId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self)
    }
}

impl fmt::Display for FeedbackId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0.hyphenated(), f)
    }
}

impl Serialize for FeedbackId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
