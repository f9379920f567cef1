//! A record of the journal: an intent, ends of attempts or a settlement as few bytes that cost little to write, with a version
//! and a checksum.
//!
//! A record is a mark, its version, the length and the checksum of what follows, a letter for what it is, and parts: a request's
//! row or its id, then rows of attempts, each behind its length. A row's part is what `serde` derives of its struct. What is
//! missing at the end of a part is read as zeros, which stand for `None`, 0, false and an empty text: so a field that is added at
//! the end of a row needs no other version, and any other change of a row does.
//!
//! Attempts that ended before an intent stand behind its own attempt. A reader that does not know of them leaves them out.

#[cfg(any(test, fuzzing))]
pub(crate) mod checked;

use std::io;

use memchr::memmem;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::types::RequestId;
use crate::usage::rows::{AttemptRow, Intent, RequestRow, Settlement};

/// What a record begins with: its first byte stands in no text.
const MARK: [u8; 3] = [0xf5, b'F', b'J'];
const VERSION: u8 = 1;
/// Where what is checked begins: the version, then the length, then the content.
const CHECKED: usize = MARK.len() + CHECKSUM;
const CHECKSUM: usize = 4;
/// Where the content begins: after the version and the length.
const CONTENT: usize = CHECKED + 1 + LENGTH;
/// The bytes of a length.
const LENGTH: usize = 4;
/// So many bytes of fields may have been added to a row since it was written.
const ADDED: usize = 256;

const INTENT: u8 = b'i';
const ENDS: u8 = b'n';
const SETTLEMENT: u8 = b's';
const EMPTY: u8 = b'e';

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// An attempt was about to be sent; these of the same request had ended.
    Intent(Box<RequestRow>, Box<AttemptRow>, Vec<AttemptRow>),
    /// Attempts of a request ended, and it went on.
    Ends(RequestId, Vec<AttemptRow>),
    /// A request ended.
    Settlement(Box<Settlement>),
    /// Nothing: it was written to see whether that is possible.
    Empty,
}

/// Appends an intent's record to `buffer`.
///
/// # Errors
/// Where a row is larger than a record can be.
pub(super) fn write_intent(buffer: &mut Vec<u8>, intent: &Intent<'_>) -> io::Result<()> {
    write(buffer, INTENT, |parts| {
        parts.add(intent.request)?;
        parts.add(intent.attempt)?;
        parts.add_all(intent.ended)
    })
}

/// Appends a record of attempts that ended to `buffer`.
///
/// # Errors
/// Where a row is larger than a record can be.
pub(super) fn write_ends(buffer: &mut Vec<u8>, request: RequestId, ended: &[AttemptRow]) -> io::Result<()> {
    write(buffer, ENDS, |parts| {
        parts.add(&request)?;
        parts.add_all(ended)
    })
}

/// Appends a settlement's record to `buffer`. Bodies are left out.
///
/// # Errors
/// Where a row is larger than a record can be.
pub(super) fn write_settlement(buffer: &mut Vec<u8>, settlement: &Settlement) -> io::Result<()> {
    write(buffer, SETTLEMENT, |parts| {
        parts.add(&*settlement.request)?;
        parts.add_all(&settlement.attempts)
    })
}

/// Appends a record that says nothing to `buffer`.
///
/// # Errors
/// None in practice.
pub(super) fn write_empty(buffer: &mut Vec<u8>) -> io::Result<()> {
    write(buffer, EMPTY, |_| Ok(()))
}

/// Reads the record at the start of `bytes`; returns its length as well. `None` where it is torn, damaged, or of another version.
pub(super) fn read(bytes: &[u8]) -> Option<(Record, usize)> {
    let rest = bytes.strip_prefix(&MARK)?;
    let (sum, rest) = rest.split_first_chunk::<CHECKSUM>()?;
    let (version, rest) = rest.split_first()?;
    let (length, rest) = rest.split_first_chunk::<LENGTH>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let content = rest.get(..length)?;
    let end = CONTENT + length;
    if crc32fast::hash(&bytes[CHECKED..end]) != u32::from_le_bytes(*sum) || *version != VERSION {
        return None;
    }
    let (kind, parts) = content.split_first()?;
    let mut parts = Parts(parts);
    let record = match *kind {
        INTENT => Record::Intent(
            Box::new(parts.next::<RequestRow>()?.intended()),
            Box::new(parts.next::<AttemptRow>()?.intended()),
            parts.rest()?,
        ),
        ENDS => Record::Ends(parts.next()?, parts.rest()?),
        SETTLEMENT => {
            let request = Box::new(parts.next()?);
            Record::Settlement(Box::new(Settlement { request, attempts: parts.rest()?, bodies: None }))
        }
        EMPTY => Record::Empty,
        _ => return None,
    };
    Some((record, end))
}

/// Where the next record may begin, after the first byte.
pub(super) fn next(bytes: &[u8]) -> Option<usize> {
    memmem::find(bytes.get(1..)?, &MARK).map(|at| at + 1)
}

fn write(buffer: &mut Vec<u8>, kind: u8, fill: impl FnOnce(&mut Append<'_>) -> postcard::Result<()>) -> io::Result<()> {
    let start = buffer.len();
    buffer.extend_from_slice(&MARK);
    buffer.extend_from_slice(&[0; CHECKSUM]);
    buffer.push(VERSION);
    buffer.extend_from_slice(&[0; LENGTH]);
    buffer.push(kind);
    let filled = fill(&mut Append(buffer)).map_err(io::Error::other);
    let length = u32::try_from(buffer.len() - start - CONTENT).map_err(io::Error::other);
    match filled.and(length) {
        Ok(length) => {
            buffer[start + CONTENT - LENGTH..start + CONTENT].copy_from_slice(&length.to_le_bytes());
            let sum = crc32fast::hash(&buffer[start + CHECKED..]);
            buffer[start + MARK.len()..start + CHECKED].copy_from_slice(&sum.to_le_bytes());
            Ok(())
        }
        Err(error) => {
            buffer.truncate(start);
            Err(error)
        }
    }
}

/// Appends the parts of a record.
struct Append<'a>(&'a mut Vec<u8>);

impl Append<'_> {
    fn add(&mut self, row: &impl Serialize) -> postcard::Result<()> {
        let start = self.0.len();
        self.0.extend_from_slice(&[0; LENGTH]);
        postcard::serialize_with_flavor(row, Append(&mut *self.0))?;
        let length = u32::try_from(self.0.len() - start - LENGTH).map_err(|_| postcard::Error::SerializeBufferFull)?;
        self.0[start..start + LENGTH].copy_from_slice(&length.to_le_bytes());
        Ok(())
    }

    fn add_all(&mut self, attempts: &[AttemptRow]) -> postcard::Result<()> {
        attempts.iter().try_for_each(|attempt| self.add(attempt))
    }
}

impl postcard::ser_flavors::Flavor for Append<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// The parts of a record that are left to read.
struct Parts<'a>(&'a [u8]);

impl Parts<'_> {
    fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        let (length, rest) = self.0.split_first_chunk::<LENGTH>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
        self.0 = rest;
        let mut padded = part.to_vec();
        padded.resize(part.len() + ADDED, 0);
        postcard::from_bytes(&padded).ok()
    }

    /// All parts that are left.
    fn rest(mut self) -> Option<Vec<AttemptRow>> {
        let mut rows = Vec::new();
        while !self.0.is_empty() {
            rows.push(self.next()?);
        }
        Some(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;
    use crate::chat::Usage;
    use crate::types::{Nanos, RequestId, Timestamp};
    use crate::usage::rows::{CacheState, Purpose, Role, Status};

    type Numbers = (u64, u64, u64, i64, i64, u32);

    /// A settlement from some texts and numbers.
    #[expect(clippy::too_many_lines, reason = "a row with all its columns")]
    fn settlement(texts: &[String; 6], numbers: &[Numbers], bits: u32) -> Settlement {
        let text = |at: usize| Arc::<str>::from(texts[at].as_str());
        let some = |bit: u32, at: usize| (bits >> bit & 1 == 1).then(|| text(at));
        let (a, b, c, d, e, n) = numbers.first().copied().unwrap_or_default();
        let usage = Usage {
            input: a,
            cached_input: b,
            cache_write: c,
            cache_write_1h: if n % 3 == 0 { 0 } else { c },
            output: b,
            reasoning: a,
            estimated: n % 2 == 0,
            ..Usage::default()
        };
        let mut request = Box::new(RequestRow {
            id: RequestId::new(),
            started_at: Timestamp(d),
            project: text(0),
            key_id: text(1),
            user: some(0, 2),
            session: some(1, 3),
            tags: numbers.iter().map(|_| (text(2), text(3))).collect(),
            endpoint: text(4),
            requested_model: text(5),
            provider: some(2, 4),
            model: some(3, 5),
            route: some(4, 0),
            prompt: some(5, 1),
            version: some(6, 0).map(|_| n),
            stream: n % 3 == 0,
            status: Status::ALL[(n % 4) as usize],
            http_status: (n % 600) as u16,
            error_code: some(7, 2),
            cache: CacheState::ALL[(n % 6) as usize],
            usage: some(8, 0).map(|_| usage),
            cost: some(9, 0).map(|_| Nanos(e)),
            unpriced: n % 5 == 0,
            saved: Nanos(d),
            latency_us: c,
            first_token_us: some(10, 0).map(|_| a),
            overhead_us: some(11, 0).map(|_| b),
            ..RequestRow::default()
        });
        request.trace = some(12, 3);
        (request.purpose, request.of) = purpose_of(request.id, bits);
        let attempts = numbers.iter().map(|&(a, b, c, d, e, n)| AttemptRow {
            n,
            provider: text(4),
            model: text(5),
            status: Status::ALL[(n / 4 % 4) as usize],
            http_status: some(13, 0).map(|_| (a % 600) as u16),
            error_code: some(14, 1),
            retryable: n % 2 == 0,
            started_at: Timestamp(e),
            latency_us: a,
            first_token_us: some(15, 0).map(|_| b),
            usage: some(16, 0).map(|_| Usage { input: c, ..usage }),
            cost: some(17, 0).map(|_| Nanos(d)),
            reserved: Nanos(d),
            role: (n % 7 == 5).then(|| Role::ALL[(n % 3) as usize]),
            ..AttemptRow::default()
        });
        let attempts = attempts.map(|row| AttemptRow { rate: some(18, 2), ..row });
        Settlement { attempts: attempts.collect(), request, bodies: None }
    }

    /// Whether bit 30 says that the gateway made a request of its own.
    fn purpose_of(id: RequestId, bits: u32) -> (Option<Purpose>, Option<RequestId>) {
        if bits >> 30 & 1 == 1 { (Some(Purpose::Verify), Some(id)) } else { (None, None) }
    }

    fn bytes_of(settlement: &Settlement) -> Vec<u8> {
        let mut buffer = Vec::new();
        write_settlement(&mut buffer, settlement).unwrap();
        buffer
    }

    /// The checksum of a record that was changed.
    fn seal(record: &mut [u8]) {
        let sum = crc32fast::hash(&record[CHECKED..]);
        record[MARK.len()..CHECKED].copy_from_slice(&sum.to_le_bytes());
    }

    proptest! {
        #[test]
        fn a_settlement_is_read_as_it_was_written(
            texts in prop::array::uniform6("[\\PC\t\n\\\\=]{0,12}"),
            numbers in prop::collection::vec(any::<Numbers>(), 0..4),
            bits: u32,
        ) {
            let written = settlement(&texts, &numbers, bits);
            let mut buffer = b"another\n".to_vec();
            write_settlement(&mut buffer, &written).unwrap();
            prop_assert!(buffer.starts_with(b"another\n"));
            let record = &buffer[8..];
            prop_assert_eq!(read(record), Some((Record::Settlement(Box::new(written.clone())), record.len())));
            for attempt in &written.attempts {
                buffer.clear();
                write_intent(&mut buffer, &Intent { request: &written.request, attempt, ended: &[] }).unwrap();
                let Some((Record::Intent(request, sent, ended), _)) = read(&buffer) else {
                    return Err(TestCaseError::fail("no intent"));
                };
                prop_assert!(ended.is_empty());
                prop_assert_eq!((request.id, &request.tags, sent.n), (written.request.id, &written.request.tags, attempt.n));
                prop_assert_eq!((request.usage, sent.status), (None, Status::Unknown));
            }
        }

        #[test]
        fn attempts_that_ended_are_read_as_they_were_written(
            texts in prop::array::uniform6("[\\PC\t\n\\\\=]{0,12}"),
            numbers in prop::collection::vec(any::<Numbers>(), 1..5),
            bits: u32,
        ) {
            let Settlement { request, attempts, .. } = settlement(&texts, &numbers, bits);
            let (attempt, ended) = attempts.split_last().unwrap();
            let (mut with, mut plain) = (Vec::new(), Vec::new());
            write_intent(&mut with, &Intent { request: &request, attempt, ended }).unwrap();
            write_intent(&mut plain, &Intent { request: &request, attempt, ended: &[] }).unwrap();
            let Some((Record::Intent(of, sent, read_ends), length)) = read(&with) else {
                return Err(TestCaseError::fail("no intent"));
            };
            prop_assert_eq!((of.id, sent.n, &read_ends[..], length), (request.id, attempt.n, ended, with.len()));
            // A reader that knows of no ends reads the two first parts: they are those of the plain intent.
            prop_assert_eq!(&with[CONTENT..plain.len()], &plain[CONTENT..]);
            let mut ends = Vec::new();
            write_ends(&mut ends, request.id, ended).unwrap();
            prop_assert_eq!(read(&ends), Some((Record::Ends(request.id, ended.to_vec()), ends.len())));
            for end in 0..ends.len() {
                prop_assert_eq!(read(&ends[..end]), None);
            }
        }

        #[test]
        fn damage_is_seen(bits: u32, at: usize, change in 1u8.., cut: usize) {
            let texts = ["a", "b\t", "", "d", "e", "f"].map(str::to_owned);
            let mut buffer = bytes_of(&settlement(&texts, &[(1, 2, 3, 4, 5, 6)], bits));
            prop_assert!(read(&buffer).is_some());
            prop_assert_eq!(read(&buffer[..cut % buffer.len()]), None);
            let at = at % buffer.len();
            buffer[at] ^= change;
            prop_assert_eq!(read(&buffer), None);
        }

        #[test]
        fn no_bytes_break_the_reader(mut bytes in prop::collection::vec(any::<u8>(), 0..80), kind in prop::sample::select(b"insie?".to_vec())) {
            let mut record = [&MARK[..], &[0; CHECKSUM], &[VERSION]].concat();
            bytes.insert(0, kind);
            record.extend(u32::try_from(bytes.len()).unwrap().to_le_bytes());
            record.append(&mut bytes);
            seal(&mut record);
            let _read_or_not = read(&record);
        }
    }

    #[test]
    fn a_record_of_another_version_is_not_read() {
        let mut record = bytes_of(&Settlement::default());
        assert!(read(&record).is_some());
        record[CHECKED] = VERSION + 1;
        seal(&mut record);
        assert_eq!(read(&record), None);
    }

    /// A row as it was before fields were added, and as it is afterwards.
    #[test]
    fn a_field_that_was_added_at_the_end_of_a_row_is_read_as_none() {
        #[derive(Serialize, Deserialize, Debug, PartialEq)]
        struct After {
            n: u32,
            name: Option<Arc<str>>,
            count: u64,
            flag: bool,
            tags: Vec<(Arc<str>, Arc<str>)>,
            share: Option<f64>,
        }
        #[derive(Serialize)]
        struct Before {
            n: u32,
        }
        let mut bytes = Vec::new();
        Append(&mut bytes).add(&Before { n: 300 }).unwrap();
        let after = After { n: 300, name: None, count: 0, flag: false, tags: Vec::new(), share: None };
        assert_eq!(Parts(&bytes).next::<After>(), Some(after));
    }

    /// Bytes that version 1 wrote. A row that reads them otherwise needs another version, and a reader of this one.
    #[test]
    fn what_was_written_before_is_read() {
        let mut one =
            settlement(&["a", "b", "c", "d", "e", "f"].map(str::to_owned), &[(1, 300, 3, -4, 5, 6)], u32::MAX >> 2);
        one.request.id = RequestId::from_bytes([7; 16]);
        one.attempts.iter_mut().for_each(|attempt| attempt.role = None);
        let hex = concat!(
            "f5464ab9447083017a000000735000000007070707070707070707070707070707070161016201016301016401016301640165016601016501016601",
            "01610101620106010206010163000101ac020300ac020101010a000703010101ac02010164210000000601650166010101010162010a0101ac020103",
            "ac020300ac020101010701016307",
        );
        let digits =
            hex.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap());
        let bytes: Vec<u8> = digits.collect();
        assert_eq!(read(&bytes), Some((Record::Settlement(Box::new(one)), bytes.len())));
    }
}
