//! The intents: before an attempt is sent, one line about it lies in a file next to the database.
//!
//! A line is one `write(2)`; the system keeps it when the process is killed, and no transaction stands before the dispatch.
//! A file is deleted when all its intents are settled. What a start finds in these files was cut off.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::error::Unavailable;
use super::rows::{AttemptRow, Intent, RequestRow};
use crate::types::{Nanos, RequestId, Timestamp};

/// A file that has grown to this is followed by the next.
const LARGEST: u64 = 1 << 20;
/// Characters of a line's checksum.
const SUM: usize = 16;

/// The intents of a running gateway.
#[derive(Debug)]
pub(super) struct Journal {
    database: PathBuf,
    /// Whether each line must reach the disk before its attempt is sent.
    durable: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The file that takes lines, where one is open.
    current: Option<Segment>,
    next: u64,
    /// Unsettled intents by file.
    live: HashMap<u64, usize>,
    /// The file of each unsettled intent.
    open: HashMap<RequestId, Vec<u64>>,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: Arc<File>,
    size: u64,
}

impl Journal {
    /// A journal next to `database` whose files begin with number `next`.
    pub(super) fn new(database: &Path, next: u64, durable: bool) -> Self {
        let state = State { next, ..State::default() };
        Self { database: database.to_owned(), durable, state: Mutex::new(state) }
    }

    /// Writes an intent down.
    ///
    /// # Errors
    /// Where the file cannot take it; the next intent then begins another file.
    pub(super) fn write(&self, intent: &Intent<'_>) -> Result<(), Unavailable> {
        let line = encode(intent);
        let written =
            self.append(intent.request.id, &line).and_then(|file| if self.durable { file.sync_data() } else { Ok(()) });
        written.map_err(|error| {
            tracing::error!(%error, "an intent cannot be written: {error}");
            Unavailable
        })
    }

    fn append(&self, id: RequestId, line: &[u8]) -> io::Result<Arc<File>> {
        let mut state = self.lock();
        let state = &mut *state;
        if state.current.as_ref().is_some_and(|segment| segment.size >= LARGEST) {
            self.retire(state);
        }
        if state.current.is_none() {
            let number = state.next;
            let file = Arc::new(create(&segment_path(&self.database, number))?);
            state.next += 1;
            if self.durable {
                // A file is found after a power loss only if its folder's entry reached the disk.
                File::open(folder_of(&self.database))?.sync_all()?;
            }
            state.current = Some(Segment { number, file, size: 0 });
        }
        let Some(segment) = &mut state.current else { return Err(io::ErrorKind::NotFound.into()) };
        // After a part of a line, the next would be read as its end; so that file takes no more.
        let written = segment.file.as_ref().write(line);
        if !matches!(written, Ok(size) if size == line.len()) {
            self.retire(state);
            return Err(written.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
        }
        segment.size += line.len() as u64;
        *state.live.entry(segment.number).or_default() += 1;
        state.open.entry(id).or_default().push(segment.number);
        Ok(segment.file.clone())
    }

    /// Tells that these requests are committed; deletes the files that nobody waits for any more.
    pub(super) fn settled(&self, ids: impl Iterator<Item = RequestId>) {
        let mut state = self.lock();
        let state = &mut *state;
        for number in ids.filter_map(|id| state.open.remove(&id)).flatten() {
            let Some(live) = state.live.get_mut(&number) else { continue };
            *live -= 1;
            let in_use = *live > 0 || state.current.as_ref().is_some_and(|segment| segment.number == number);
            if !in_use {
                state.live.remove(&number);
                remove(&segment_path(&self.database, number));
            }
        }
    }

    /// Takes no more lines, and deletes the last file if nobody waits for it.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        self.retire(&mut state);
    }

    fn retire(&self, state: &mut State) {
        let Some(segment) = state.current.take() else { return };
        if state.live.get(&segment.number).is_none_or(|live| *live == 0) {
            state.live.remove(&segment.number);
            remove(&segment_path(&self.database, segment.number));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The numbers of the files that lie next to `database`, in order.
///
/// # Errors
/// Where the folder cannot be read.
pub(super) fn segments(database: &Path) -> io::Result<Vec<u64>> {
    let folder = folder_of(database);
    let prefix = format!("{}-intents.", database.file_name().unwrap_or_default().to_string_lossy());
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_prefix(&prefix)).and_then(|number| number.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn folder_of(database: &Path) -> &Path {
    database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where the file with this number lies.
pub(super) fn segment_path(database: &Path, number: u64) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(format!("-intents.{number}"));
    name.into()
}

/// Reads a file's intents; the second part counts lines that are torn or damaged.
///
/// # Errors
/// Where the file cannot be read.
pub(super) fn read(path: &Path) -> io::Result<(Vec<(RequestRow, AttemptRow)>, usize)> {
    let bytes = std::fs::read(path)?;
    let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let intents: Vec<_> = lines.iter().filter_map(|line| decode(line)).collect();
    let damaged = lines.len() - intents.len();
    Ok((intents, damaged))
}

/// Deletes a file; that it is gone already is as well.
pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a settled file of intents cannot be deleted: {error}");
    }
}

fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)
}

/// A line's content. Names are short because one is written before every attempt.
#[derive(Serialize, Deserialize)]
struct Line<T> {
    id: String,
    at: i64,
    project: T,
    key: T,
    user: Option<T>,
    session: Option<T>,
    endpoint: T,
    asked: T,
    route: Option<T>,
    prompt: Option<T>,
    version: Option<u32>,
    stream: bool,
    n: u32,
    provider: T,
    model: T,
    sent: i64,
    reserved: i64,
}

fn encode(intent: &Intent<'_>) -> Vec<u8> {
    let (request, attempt) = (intent.request, intent.attempt);
    let line = Line {
        id: request.id.to_string(),
        at: request.started_at.0,
        project: &*request.project,
        key: &*request.key_id,
        user: request.user.as_deref(),
        session: request.session.as_deref(),
        endpoint: &*request.endpoint,
        asked: &*request.requested_model,
        route: request.route.as_deref(),
        prompt: request.prompt.as_deref(),
        version: request.version,
        stream: request.stream,
        n: attempt.n,
        provider: &*attempt.provider,
        model: &*attempt.model,
        sent: attempt.started_at.0,
        reserved: attempt.reserved.0,
    };
    let mut bytes = Vec::with_capacity(512);
    bytes.extend_from_slice(&[b' '; SUM + 1]);
    // Writing plain data to memory cannot fail, and a line without its content would be told as damaged.
    drop(serde_json::to_writer(&mut bytes, &line));
    let sum = checksum(&bytes[SUM + 1..]);
    bytes[..SUM].copy_from_slice(&sum);
    bytes.push(b'\n');
    bytes
}

fn decode(line: &[u8]) -> Option<(RequestRow, AttemptRow)> {
    let (sum, rest) = line.split_at_checked(SUM)?;
    let content = rest.strip_prefix(b" ")?;
    if checksum(content) != *sum {
        return None;
    }
    let line: Line<Arc<str>> = serde_json::from_slice(content).ok()?;
    let request = RequestRow {
        id: line.id.parse().ok()?,
        started_at: Timestamp(line.at),
        project: line.project,
        key_id: line.key,
        user: line.user,
        session: line.session,
        endpoint: line.endpoint,
        requested_model: line.asked,
        route: line.route,
        prompt: line.prompt,
        version: line.version,
        stream: line.stream,
        ..RequestRow::default()
    };
    let attempt = AttemptRow {
        n: line.n,
        provider: line.provider,
        model: line.model,
        started_at: Timestamp(line.sent),
        reserved: Nanos(line.reserved),
        ..AttemptRow::default()
    };
    Some((request, attempt))
}

fn checksum(content: &[u8]) -> [u8; SUM] {
    let mut sum = [0; SUM];
    let hash = blake3::hash(content);
    sum.copy_from_slice(&hash.to_hex().as_bytes()[..SUM]);
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intent(journal: &Journal, n: u32, user: &str) -> RequestRow {
        let request = RequestRow { id: RequestId::new(), user: Some(user.into()), ..RequestRow::default() };
        let attempt = AttemptRow { n, provider: "p".into(), reserved: Nanos(7), ..AttemptRow::default() };
        journal.write(&Intent { request: &request, attempt: &attempt }).unwrap();
        request
    }

    #[test]
    fn what_is_written_is_read_and_a_torn_line_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("f.db");
        let journal = Journal::new(&database, 3, true);
        let first = intent(&journal, 1, "a\nb\u{0}\"é");
        let second = intent(&journal, 2, "x");
        assert_eq!(segments(&database).unwrap(), [3]);
        let path = segment_path(&database, 3);
        let bytes = std::fs::read(&path).unwrap();
        let all = read(&path).unwrap();
        assert_eq!((all.0[0].0.clone(), all.0[1].0.clone(), all.1), (first.clone(), second, 0));
        assert_eq!((all.0[1].1.n, all.0[1].1.reserved), (2, Nanos(7)));
        let first_ends = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let (intents, damaged) = read(&path).unwrap();
            let whole = usize::from(end >= first_ends) + usize::from(end + 1 >= bytes.len());
            let torn = usize::from(end > 0 && end != first_ends && end != first_ends + 1 && end + 1 < bytes.len());
            assert_eq!((intents.len(), damaged), (whole, torn), "{end}");
        }
        let mut flipped = bytes.clone();
        flipped[40] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let (intents, damaged) = read(&path).unwrap();
        assert_eq!((intents.len(), damaged), (1, 1));
    }

    #[test]
    fn a_full_file_is_followed_and_goes_when_all_is_settled() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("f.db");
        let journal = Journal::new(&database, 1, false);
        let long = "u".repeat(1 << 19);
        let requests: Vec<_> = (0..5).map(|_| intent(&journal, 1, &long)).collect();
        assert_eq!(segments(&database).unwrap(), [1, 2, 3]);
        journal.settled([requests[2].id, requests[0].id].into_iter());
        assert_eq!(segments(&database).unwrap(), [1, 2, 3]);
        journal.settled([requests[1].id, requests[1].id].into_iter());
        assert_eq!(segments(&database).unwrap(), [2, 3]);
        journal.settled(requests.iter().map(|request| request.id));
        assert_eq!(segments(&database).unwrap(), [3]);
        journal.close();
        assert!(segments(&database).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_told_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("later/f.db");
        let journal = Journal::new(&database, 1, false);
        let request = RequestRow::default();
        let attempt = AttemptRow::default();
        assert_eq!(journal.write(&Intent { request: &request, attempt: &attempt }), Err(Unavailable));
        std::fs::create_dir(folder.path().join("later")).unwrap();
        intent(&journal, 1, "x");
        assert_eq!(segments(&database).unwrap(), [1]);
    }
}
