//! What must hold of any bytes that lie in a file of the journal.

use super::{
    CHECKED, CHECKSUM, LENGTH, MARK, Record, VERSION, read, write_empty, write_ends, write_intent, write_settlement,
};
use crate::usage::rows::Intent;

/// Reads bytes as a record, and as a record's content whose checksum holds.
pub(crate) fn content(data: &[u8]) {
    assert!(read(data).is_none_or(|(_, length)| length <= data.len()));
    let bytes = sealed(data);
    let Some((record, length)) = read(&bytes) else { return };
    assert_eq!(length, bytes.len());
    assert_eq!(read(&bytes[..length - 1]), None, "a torn record is read");
    let mut again = Vec::new();
    let written = match &record {
        Record::Intent(request, attempt, ended) => write_intent(&mut again, &Intent { request, attempt, ended }),
        Record::Ends(request, ended) => write_ends(&mut again, *request, ended),
        Record::Settlement(settlement) => write_settlement(&mut again, settlement),
        Record::Empty => write_empty(&mut again),
    };
    assert!(written.is_ok());
    let length = again.len();
    assert_eq!(read(&again), Some((record, length)), "a record that is written anew says something else");
}

/// A record of this content.
fn sealed(content: &[u8]) -> Vec<u8> {
    let mut bytes = MARK.to_vec();
    bytes.extend_from_slice(&[0; CHECKSUM]);
    bytes.push(VERSION);
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    bytes.extend_from_slice(&length.to_le_bytes());
    debug_assert_eq!(bytes.len(), CHECKED + 1 + LENGTH);
    bytes.extend_from_slice(content);
    let sum = crc32fast::hash(&bytes[CHECKED..]);
    bytes[MARK.len()..CHECKED].copy_from_slice(&sum.to_le_bytes());
    bytes
}
