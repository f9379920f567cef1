//! The journal: before an attempt is sent, and when a request has ended, one line about it lies in a file next to the database.
//!
//! The system keeps what was written to it when the process is killed, so no transaction stands before the dispatch or before
//! an answer's end. Each thread has a file of its own, so that none waits for another's write; a worker's thread writes what its
//! calls note in one turn of its event loop with one `write(2)` (`turn`). A file is deleted when all its lines are settled
//! in the database. What a start finds in these files, the database may not have yet.

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use super::record;
use super::segment::{Held, Segment, create, folder_of, remove, segment_path};
use super::tick::{Turn, Waiting, Written};
use crate::usage::error::Unavailable;
use crate::usage::rows::Intent;
use crate::usage::settling::Job;

/// A file that has grown to this is followed by the next.
const LARGEST: u64 = 1 << 20;

thread_local! {
    /// Where this thread makes a line that is written at once.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// This thread's place among those that write; taken at its first line.
    static PLACE: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The journal of a running gateway.
#[derive(Debug)]
pub(in crate::usage) struct Journal {
    database: PathBuf,
    /// Whether each line must reach the disk before its attempt is sent.
    durable: bool,
    /// Whether the last line could not be written.
    failing: AtomicBool,
    closed: AtomicBool,
    /// The next file's number.
    next: AtomicU64,
    /// One for each core's thread.
    places: Box<[Mutex<Place>]>,
}

/// Where a thread's lines go.
#[derive(Debug, Default)]
struct Place {
    file: Option<Current>,
    /// What is to be written next, where somebody writes once a turn.
    turn: Option<Turn>,
}

/// A file that takes lines.
#[derive(Debug)]
struct Current {
    segment: Arc<Segment>,
    /// Its length, with what is to be written next.
    size: u64,
}

/// What became of a line.
#[derive(Debug)]
pub(in crate::usage) enum Noted {
    /// It was written, or not.
    Now(Result<(), Unavailable>),
    /// It is written at the end of the turn.
    Later(Waiting),
}

/// What became of a settlement.
pub(in crate::usage) enum Settled {
    /// It lies in the journal.
    Now(Job),
    /// The journal cannot take it.
    Failed(Job),
    /// It is written at the end of the turn, as this one of the turn's.
    Later(Waiting, usize),
}

/// What was written at the end of a turn, and for whom.
pub(in crate::usage) struct Flushed {
    pub(in crate::usage) jobs: Vec<Job>,
    pub(in crate::usage) written: Arc<Written>,
    pub(in crate::usage) result: Result<(), Unavailable>,
}

impl Journal {
    /// A journal next to `database` whose files begin with number `next`.
    pub(in crate::usage) fn new(database: &Path, next: u64, durable: bool) -> Self {
        let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            database: database.to_owned(),
            durable,
            failing: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            next: AtomicU64::new(next),
            places: (0..threads).map(|_| Mutex::default()).collect(),
        }
    }

    /// Notes an intent. It is down when what this gives says so.
    pub(in crate::usage) fn intend(&self, intent: &Intent<'_>, held: &mut Held) -> Noted {
        let mut place = lock(&self.places[self.place()]);
        match self.note(&mut place, held, |lines| record::write_intent(lines, intent)) {
            Ok(None) => Noted::Now(self.told(Ok(()))),
            Ok(Some(waiting)) => Noted::Later(waiting),
            Err(error) => Noted::Now(self.told(Err(error))),
        }
    }

    /// Notes a settlement, but for its bodies.
    pub(in crate::usage) fn settle(&self, mut job: Job) -> Settled {
        let mut place = lock(&self.places[self.place()]);
        let Job { settlement, held, .. } = &mut job;
        match self.note(&mut place, held, |lines| record::write_settlement(lines, settlement)) {
            Ok(None) => {
                let _known = self.told(Ok(()));
                Settled::Now(job)
            }
            Ok(Some(waiting)) => {
                let jobs = place.turn.as_mut().map_or(0, |turn| turn.add(job));
                Settled::Later(waiting, jobs)
            }
            Err(error) => {
                let _known = self.told(Err(error));
                Settled::Failed(job)
            }
        }
    }

    /// Whether lines can be written; where the last could not, tries with an empty one.
    pub(in crate::usage) fn is_writable(&self) -> bool {
        if !self.failing.load(Ordering::Relaxed) {
            return true;
        }
        let mut place = lock(&self.places[self.place()]);
        let written = self.opened(&mut place).and_then(|()| self.write(&mut place, b"\n", 1)).map(drop);
        self.told(written).is_ok()
    }

    /// Notes a line: in the file at once, or in the turn that is written next.
    fn note(&self, place: &mut Place, held: &mut Held, make: impl FnOnce(&mut Vec<u8>)) -> io::Result<Option<Waiting>> {
        self.opened(place)?;
        if let (Some(turn), Some(file)) = (&mut place.turn, &mut place.file) {
            file.size += turn.write(make) as u64;
            held.hold(&file.segment);
            return Ok(Some(turn.waiting()));
        }
        let mut line = BUFFER.take();
        line.clear();
        make(&mut line);
        let written = self.write(place, &line, line.len());
        BUFFER.set(line);
        let segment = written?;
        held.hold(&segment);
        if self.durable { segment.file.sync_data().map(|()| None) } else { Ok(None) }
    }

    /// Writes what was noted at a place since the last time. `None` where that is nothing.
    pub(in crate::usage) fn flush(&self, place: usize) -> Option<Flushed> {
        let mut place = lock(&self.places[place]);
        let (lines, jobs, written) = place.turn.as_mut()?.take()?;
        let result = if place.file.is_some() {
            self.write(&mut place, &lines, 0)
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        };
        if let Some(turn) = &mut place.turn {
            turn.give_back(lines);
        }
        drop(place);
        let safe = result.and_then(|segment| if self.durable { segment.file.sync_data() } else { Ok(()) });
        Some(Flushed { jobs, written, result: self.told(safe) })
    }

    /// Has what is noted at this thread's place written once a turn, by whoever [polls](Self::poll_turn) it; gives the place.
    pub(in crate::usage) fn begin_turns(&self) -> usize {
        let at = self.place();
        lock(&self.places[at]).turn.get_or_insert_default();
        at
    }

    /// Waits until something is noted at a place.
    pub(in crate::usage) fn poll_turn(&self, place: usize, context: &mut Context<'_>) -> Poll<()> {
        lock(&self.places[place]).turn.as_mut().map_or(Poll::Pending, |turn| turn.poll(context))
    }

    /// From now on, what is noted at a place is written at once. To be followed by a last [`Self::flush`].
    pub(in crate::usage) fn end_turns(&self, place: usize) -> Option<Flushed> {
        let last = self.flush(place);
        lock(&self.places[place]).turn = None;
        last
    }

    /// The places of threads.
    pub(in crate::usage) fn places(&self) -> std::ops::Range<usize> {
        0..self.places.len()
    }

    /// This thread's place.
    fn place(&self) -> usize {
        place() % self.places.len()
    }

    /// Notes whether a line was written, and says so where that is news.
    fn told(&self, written: io::Result<()>) -> Result<(), Unavailable> {
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

    /// Sees to it that a place has a file that takes lines.
    fn opened(&self, place: &mut Place) -> io::Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let is_full = place.file.as_ref().is_some_and(|file| file.size >= LARGEST);
        // What is to be written next belongs to this file.
        if is_full && place.turn.as_ref().is_none_or(Turn::is_empty) {
            self.retire(&mut place.file);
        }
        if place.file.is_none() {
            place.file = Some(Current { segment: self.begin()?, size: 0 });
        }
        Ok(())
    }

    /// Writes to a place's file, which grows by so much beyond what was noted before.
    fn write(&self, place: &mut Place, bytes: &[u8], more: usize) -> io::Result<Arc<Segment>> {
        let Some(Current { segment, size }) = &mut place.file else { return Err(io::ErrorKind::NotFound.into()) };
        *size += more as u64;
        let written = (&segment.file).write(bytes);
        if matches!(written, Ok(count) if count == bytes.len()) {
            return Ok(segment.clone());
        }
        // After a part of a line, the next would be read as its end; so this file takes no more. What was written of it tells
        // of calls that do not go out.
        let _torn = segment.file.set_len(size.saturating_sub(bytes.len() as u64));
        self.retire(&mut place.file);
        Err(written.err().unwrap_or_else(|| io::ErrorKind::WriteZero.into()))
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

    /// Tells that requests are committed; deletes the files that nobody waits for any more.
    pub(in crate::usage) fn settled(&self, all: impl Iterator<Item = Held>) {
        // Most lie in the same file as the one before.
        let mut last: Option<(Arc<Segment>, usize)> = None;
        for Held { first, others } in all {
            others.iter().for_each(|segment| self.release(segment, 1));
            match (&mut last, first) {
                (Some((segment, lines)), Some((first, more))) if segment.number == first.number => *lines += more,
                (_, Some(first)) => {
                    let before = last.replace(first);
                    before.into_iter().for_each(|(segment, lines)| self.release(&segment, lines));
                }
                (_, None) => {}
            }
        }
        last.into_iter().for_each(|(segment, lines)| self.release(&segment, lines));
    }

    /// Takes no more lines, and deletes the last files if nobody waits for them.
    pub(in crate::usage) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.places.iter().for_each(|place| self.retire(&mut lock(place).file));
    }

    /// Makes every write to the files of now fail, as on a disk that is full.
    #[cfg(test)]
    pub(in crate::usage) fn break_files(&self) {
        for place in &self.places {
            let mut place = lock(place);
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let file = File::open("/dev/null").unwrap();
            self.retire(&mut place.file);
            let segment = Arc::new(Segment { number, file, held: AtomicUsize::new(1) });
            place.file = Some(Current { segment, size: 0 });
        }
    }

    /// Lets go of a file's lines; deletes it when that were the last, and it takes no more.
    fn release(&self, segment: &Segment, lines: usize) {
        if segment.held.fetch_sub(lines, Ordering::AcqRel) == lines {
            remove(&segment_path(&self.database, segment.number));
        }
    }

    fn retire(&self, file: &mut Option<Current>) {
        if let Some(Current { segment, .. }) = file.take() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Nanos, RequestId};
    use crate::usage::journal::found::{Found, read};
    use crate::usage::journal::segment::segments;
    use crate::usage::rows::{AttemptRow, RequestRow};

    fn intent(journal: &Journal, n: u32, user: &str) -> (RequestRow, Held) {
        let request = RequestRow { id: RequestId::new(), user: Some(user.into()), ..RequestRow::default() };
        let attempt = AttemptRow { n, provider: "p".into(), reserved: Nanos(7), ..AttemptRow::default() };
        let mut held = Held::default();
        let noted = journal.intend(&Intent { request: &request, attempt: &attempt }, &mut held);
        assert!(matches!(noted, Noted::Now(Ok(()))));
        (request, held)
    }

    #[test]
    fn what_is_written_is_read_and_a_torn_line_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("f.db");
        let journal = Journal::new(&database, 3, true);
        let (first, _) = intent(&journal, 1, "a\nb\u{0}\"é");
        let (second, _) = intent(&journal, 2, "x");
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
        let mut all: Vec<_> = (0..5).map(|_| intent(&journal, 1, &long).1).collect();
        assert_eq!(segments(&database).unwrap(), [1, 2, 3]);
        journal.settled([all.remove(2), all.remove(0)].into_iter());
        assert_eq!(segments(&database).unwrap(), [1, 2, 3]);
        journal.settled([all.remove(0), Held::default()].into_iter());
        assert_eq!(segments(&database).unwrap(), [2, 3]);
        journal.settled(all.into_iter());
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
        let noted = journal.intend(&Intent { request: &request, attempt: &attempt }, &mut Held::default());
        assert!(matches!(noted, Noted::Now(Err(Unavailable))));
        assert!(!journal.is_writable());
        std::fs::create_dir(folder.path().join("later")).unwrap();
        assert!(journal.is_writable());
        drop(intent(&journal, 1, "x"));
        assert_eq!(segments(&database).unwrap().len(), 1);
    }
}
