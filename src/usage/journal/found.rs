//! What a file of the journal holds.

use std::io;
use std::path::Path;

use super::record::{self, Line};
use crate::usage::rows::{AttemptRow, RequestRow, Settlement};

/// What a file holds.
#[derive(Debug, Default)]
pub(in crate::usage) struct Found {
    /// Attempts that were about to be sent.
    pub(in crate::usage) intents: Vec<(RequestRow, AttemptRow)>,
    /// Requests that ended.
    pub(in crate::usage) settlements: Vec<Settlement>,
    /// How many lines are torn or damaged.
    pub(in crate::usage) damaged: usize,
}

/// Reads a file.
///
/// # Errors
/// Where it cannot be read.
pub(in crate::usage) fn read(path: &Path) -> io::Result<Found> {
    let bytes = std::fs::read(path)?;
    let mut found = Found::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match record::read(line) {
            Some(Line::Intent(request, attempt)) => found.intents.push((*request, *attempt)),
            Some(Line::Settlement(settlement)) => found.settlements.push(*settlement),
            None => found.damaged += 1,
        }
    }
    Ok(found)
}
