//! The journal: before an attempt is sent, and when a request has ended, one line about it lies in a file next to the database.
//!
//! A line is one `write(2)`; the system keeps it when the process is killed, so no transaction stands before the dispatch or
//! before an answer's end. Each thread has a file of its own, so that none waits for another's write. A file is deleted when
//! all its lines are settled in the database. What a start finds in these files, the database may not have yet.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::error::Unavailable;
use super::line::{self, Line};
use super::rows::{AttemptRow, Intent, RequestRow, Settlement};
use crate::types::RequestId;

/// A file that has grown to this is followed by the next.
const LARGEST: u64 = 1 << 20;

/// Requests are noted in so many maps by their ids, so that threads seldom want the same.
const SHARDS: usize = 16;

thread_local! {
    /// Where this thread makes its lines.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// This thread's place among those that write; taken at its first line.
    static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The journal of a running gateway.
#[derive(Debug)]
pub(super) struct Journal {
    database: PathBuf,
    /// Whether each line must reach the disk before its attempt is sent.
    durable: bool,
    /// Whether the last line could not be written.
    failing: AtomicBool,
    closed: AtomicBool,
    /// The next file's number.
    next: AtomicU64,
    /// The files that take lines, one for each core's thread.
    current: Box<[Mutex<Option<Current>>]>,
    /// The files of each request that is not in the database.
    open: [Mutex<Open>; SHARDS],
}

type Open = HashMap<RequestId, Held, BuildHasherDefault<IdHasher>>;

/// A file that takes lines.
#[derive(Debug)]
struct Current {
    segment: Arc<Segment>,
    size: u64,
}

#[derive(Debug)]
struct Segment {
    number: u64,
    file: File,
    /// Lines whose requests are not in the database, and one more while it takes lines.
    held: AtomicUsize,
}

/// The files that hold a request's lines, once for each line.
#[derive(Debug)]
struct Held {
    segment: Arc<Segment>,
    /// Lines in that file.
    lines: usize,
    others: Vec<Arc<Segment>>,
}

/// An id ends in random bytes of our own: they need little hashing.
#[derive(Debug, Default)]
struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let last = bytes.last_chunk().map_or(0, |last| u64::from_be_bytes(*last));
        self.0 = last.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Journal {
    /// A journal next to `database` whose files begin with number `next`.
    pub(super) fn new(database: &Path, next: u64, durable: bool) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            database: database.to_owned(),
            durable,
            failing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            next: AtomicU64::new(next),
            current: (0..threads).map(|_| Mutex::default()).collect(),
            open: Default::default(),
        }
    }

    /// Writes an intent down.
    ///
    /// # Errors
    /// Where the file cannot take it; the next line then begins another file.
    pub(super) fn intend(&self, intent: &Intent<'_>) -> Result<(), Unavailable> {
        self.write(intent.request.id, |buffer| line::write_intent(buffer, intent))
    }

    /// Writes a settlement down, but for its bodies.
    ///
    /// # Errors
    /// Where the file cannot take it; the next line then begins another file.
    pub(super) fn settle(&self, settlement: &Settlement) -> Result<(), Unavailable> {
        self.write(settlement.request.id, |buffer| line::write_settlement(buffer, settlement))
    }

    /// Whether lines can be written; where the last could not, tries with an empty one.
    pub(super) fn is_writable(&self) -> bool {
        !self.failing.load(Ordering::Relaxed) || self.told(self.append(b"\n", |_| ())).is_ok()
    }

    fn write(&self, id: RequestId, make: impl FnOnce(&mut Vec<u8>)) -> Result<(), Unavailable> {
        // The line is made before the lock is taken.
        let mut buffer = BUFFER.take();
        make(&mut buffer);
        let written = self.append(&buffer, |segment| self.hold(id, segment));
        BUFFER.set(buffer);
        let safe = written.and_then(|segment| if self.durable { segment.file.sync_data() } else { Ok(()) });
        self.told(safe)
    }

    /// Notes whether a line was written, and says so where that is news.
    fn told<T>(&self, written: io::Result<T>) -> Result<(), Unavailable> {
        let before = self.failing.load(Ordering::Relaxed);
        match written {
            Ok(_) if !before => Ok(()),
            Ok(_) => {
                self.failing.store(false, Ordering::Relaxed);
                tracing::info!("the ledger's journal can be written again");
                Ok(())
            }
            Err(error) => {
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the ledger's journal cannot be written: {error}; no call goes out until it can");
                }
                Err(Unavailable)
            }
        }
    }

    /// Writes a line to this thread's file, and tells `hold` which that is before it can be retired.
    fn append(&self, line: &[u8], hold: impl FnOnce(&Arc<Segment>)) -> io::Result<Arc<Segment>> {
        let mut current = lock(&self.current[place() % self.current.len()]);
        if self.closed.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        if current.as_ref().is_some_and(|current| current.size >= LARGEST) {
            self.retire(&mut current);
        }
        if current.is_none() {
            *current = Some(Current { segment: self.begin()?, size: 0 });
        }
        let Some(Current { segment, size }) = &mut *current else { return Err(io::ErrorKind::NotFound.into()) };
        // After a part of a line, the next would be read as its end; so that file takes no more.
        let written = (&segment.file).write(line);
        if !matches!(written, Ok(size) if size == line.len()) {
            self.retire(&mut current);
            return Err(written.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()));
        }
        *size += line.len() as u64;
        hold(segment);
        Ok(segment.clone())
    }

    /// Begins a file.
    fn begin(&self) -> io::Result<Arc<Segment>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let file = create(&segment_path(&self.database, number))?;
        if self.durable {
            // A file is found after a power loss only if its folder's entry reached the disk.
            File::open(folder_of(&self.database))?.sync_all()?;
        }
        Ok(Arc::new(Segment { number, file, held: AtomicUsize::new(1) }))
    }

    /// Notes a line of a request.
    fn hold(&self, id: RequestId, segment: &Arc<Segment>) {
        segment.held.fetch_add(1, Ordering::Relaxed);
        let mut open = lock(self.shard(id));
        match open.get_mut(&id) {
            Some(held) if held.segment.number == segment.number => held.lines += 1,
            Some(held) => held.others.push(segment.clone()),
            None => {
                open.insert(id, Held { segment: segment.clone(), lines: 1, others: Vec::new() });
            }
        }
    }

    fn shard(&self, id: RequestId) -> &Mutex<Open> {
        &self.open[usize::from(id.as_bytes()[12]) % SHARDS]
    }

    /// Tells that these requests are committed; deletes the files that nobody waits for any more.
    pub(super) fn settled(&self, ids: impl Iterator<Item = RequestId>) {
        for id in ids {
            let Some(held) = lock(self.shard(id)).remove(&id) else { continue };
            self.release(&held.segment, held.lines);
            held.others.iter().for_each(|segment| self.release(segment, 1));
        }
    }

    /// Takes no more lines, and deletes the last files if nobody waits for them.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.current.iter().for_each(|current| self.retire(&mut lock(current)));
    }

    /// Lets go of a file's lines; deletes it when that were the last, and it takes no more.
    fn release(&self, segment: &Segment, lines: usize) {
        if segment.held.fetch_sub(lines, Ordering::AcqRel) == lines {
            remove(&segment_path(&self.database, segment.number));
        }
    }

    fn retire(&self, current: &mut Option<Current>) {
        if let Some(Current { segment, .. }) = current.take() {
            self.release(&segment, 1);
        }
    }
}

/// This thread's place among those that write lines.
fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    PLACE.get().unwrap_or_else(|| {
        let place = NEXT.fetch_add(1, Ordering::Relaxed);
        PLACE.set(Some(place));
        place
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Attempts that were about to be sent.
    pub(super) intents: Vec<(RequestRow, AttemptRow)>,
    /// Requests that ended.
    pub(super) settlements: Vec<Settlement>,
    /// How many lines are torn or damaged.
    pub(super) damaged: usize,
}

/// Reads a file.
///
/// # Errors
/// Where it cannot be read.
pub(super) fn read(path: &Path) -> io::Result<Found> {
    let bytes = std::fs::read(path)?;
    let mut found = Found::default();
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match line::read(line) {
            Some(Line::Intent(request, attempt)) => found.intents.push((*request, *attempt)),
            Some(Line::Settlement(settlement)) => found.settlements.push(*settlement),
            None => found.damaged += 1,
        }
    }
    Ok(found)
}

/// Deletes a file; that it is gone already is as well.
pub(super) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a settled file of the journal cannot be deleted: {error}");
    }
}

fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Nanos;

    fn intent(journal: &Journal, n: u32, user: &str) -> RequestRow {
        let request = RequestRow { id: RequestId::new(), user: Some(user.into()), ..RequestRow::default() };
        let attempt = AttemptRow { n, provider: "p".into(), reserved: Nanos(7), ..AttemptRow::default() };
        journal.intend(&Intent { request: &request, attempt: &attempt }).unwrap();
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
        assert_eq!((&all.intents[0].0, &all.intents[1].0, all.damaged), (&first, &second, 0));
        assert_eq!((all.intents[1].1.n, all.intents[1].1.reserved), (2, Nanos(7)));
        let first_ends = bytes.iter().position(|byte| *byte == b'\n').unwrap();
        for end in 0..bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let Found { intents, damaged, .. } = read(&path).unwrap();
            let whole = usize::from(end >= first_ends) + usize::from(end + 1 >= bytes.len());
            let torn = usize::from(end > 0 && end != first_ends && end != first_ends + 1 && end + 1 < bytes.len());
            assert_eq!((intents.len(), damaged), (whole, torn), "{end}");
        }
        let mut flipped = bytes.clone();
        flipped[40] ^= 1;
        std::fs::write(&path, &flipped).unwrap();
        let Found { intents, damaged, .. } = read(&path).unwrap();
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
        assert!(journal.is_writable());
        assert_eq!(journal.intend(&Intent { request: &request, attempt: &attempt }), Err(Unavailable));
        assert!(!journal.is_writable());
        std::fs::create_dir(folder.path().join("later")).unwrap();
        assert!(journal.is_writable());
        intent(&journal, 1, "x");
        assert_eq!(segments(&database).unwrap().len(), 1);
    }
}
