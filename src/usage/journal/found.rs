//! What a file of the journal holds.

use std::io;
use std::path::Path;

use super::legacy;
use super::record::{self, Record};
use crate::types::RequestId;
use crate::usage::rows::{AttemptRow, RequestRow, Settlement};

/// What a file holds.
#[derive(Debug, Default)]
pub(in crate::usage) struct Found {
    /// Attempts that were about to be sent.
    pub(in crate::usage) intents: Vec<(RequestRow, AttemptRow)>,
    /// Attempts that ended while their request went on, in the order of the records: the last of an attempt counts.
    pub(in crate::usage) ends: Vec<(RequestId, AttemptRow)>,
    /// Requests that ended.
    pub(in crate::usage) settlements: Vec<Settlement>,
    /// How many records are torn, damaged, or of a version that is not known.
    pub(in crate::usage) damaged: usize,
}

/// Reads a file.
///
/// # Errors
/// Where it cannot be read.
pub(in crate::usage) fn read(path: &Path) -> io::Result<Found> {
    let bytes = std::fs::read(path)?;
    let mut found = Found::default();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        if let Some((record, length)) = record::read(rest) {
            found.add(record);
            rest = &rest[length..];
            continue;
        }
        // What is damaged ends where the next whole record begins.
        let mut end = record::next(rest);
        while let Some(at) = end
            && record::read(&rest[at..]).is_none()
        {
            end = record::next(&rest[at..]).map(|further| at + further);
        }
        let (gap, after) = rest.split_at(end.unwrap_or(rest.len()));
        found.add_lines(gap);
        rest = after;
    }
    Ok(found)
}

/// Where the records of a whole file end.
#[cfg(test)]
pub(in crate::usage) fn ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    while let Some((_, length)) = record::read(&bytes[ends.last().copied().unwrap_or(0)..]) {
        ends.push(ends.last().copied().unwrap_or(0) + length);
    }
    ends
}

impl Found {
    fn add(&mut self, record: Record) {
        match record {
            Record::Intent(request, attempt, ended) => {
                self.ended(request.id, ended);
                self.intents.push((*request, *attempt));
            }
            Record::Ends(request, ended) => self.ended(request, ended),
            Record::Settlement(settlement) => self.settlements.push(*settlement),
            Record::Empty => {}
        }
    }

    fn ended(&mut self, request: RequestId, ended: Vec<AttemptRow>) {
        self.ends.extend(ended.into_iter().map(|attempt| (request, attempt)));
    }

    /// Adds what is no record: lines of an older process, or something that is damaged.
    fn add_lines(&mut self, bytes: &[u8]) {
        let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let (mut read, mut unread) = (0, 0);
        for line in lines {
            match legacy::read(line) {
                Some(record) => {
                    self.add(record);
                    read += 1;
                }
                None => unread += 1,
            }
        }
        // A damaged record may hold ends of lines.
        self.damaged += if read == 0 { 1.min(unread) } else { unread };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::types::RequestId;

    fn settlement(user: &str) -> Settlement {
        let request = RequestRow { id: RequestId::new(), user: Some(user.into()), ..RequestRow::default() };
        Settlement { request: Box::new(request), attempts: vec![AttemptRow::default()], bodies: None }
    }

    fn found(bytes: &[u8]) -> Found {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f.db-ledger.1");
        std::fs::write(&path, bytes).unwrap();
        read(&path).unwrap()
    }

    proptest! {
        #[test]
        fn damage_costs_the_record_that_it_is_in_and_no_other(
            users in prop::collection::vec("[\\PC\n]{0,20}", 1..6),
            which: prop::sample::Index,
            at: prop::sample::Index,
            change in 1u8..,
            cut: bool,
        ) {
            let mut written: Vec<_> = users.iter().map(|user| settlement(user)).collect();
            let records: Vec<_> = written.iter().map(|one| {
                let mut bytes = Vec::new();
                record::write_settlement(&mut bytes, one).unwrap();
                bytes
            }).collect();
            let whole = found(&records.concat());
            prop_assert_eq!((&whole.settlements, whole.damaged), (&written, 0));
            let (which, mut records) = (which.index(records.len()), records);
            let at = at.index(records[which].len());
            match cut {
                true => records[which].truncate(at.max(1)),
                false => records[which][at] ^= change,
            }
            let damaged = found(&records.concat());
            written.remove(which);
            prop_assert_eq!((damaged.settlements, damaged.damaged), (written, 1));
        }
    }

    #[test]
    fn lines_of_an_older_process_are_read_beside_records() {
        let lines = include_bytes!("../../../tests/fixtures/journal/text-lines");
        let mut bytes = lines.to_vec();
        record::write_settlement(&mut bytes, &settlement("a")).unwrap();
        bytes.extend_from_slice(&lines[..100]);
        let found = found(&bytes);
        assert_eq!((found.intents.len(), found.settlements.len(), found.damaged), (9, 7, 1));
    }
}
