//! The journal: before an attempt is sent, and when a request has ended, one record about it lies in a file next to the database.
//! Attempts that end while their request goes on go along with the next intent, or have a record of their own.
//!
//! The system keeps what was written to it when the process is killed, so no transaction stands before the dispatch or before
//! an answer's end. Each thread has a file of its own, so that none waits for another's write; a worker's thread writes what its
//! calls note in one tick of its event loop with one `write(2)` (`tick`). A file is deleted when all its records are settled
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
use super::segment::{Segment, SegmentRefs, create, folder_of, remove, segment_path};
use super::tick::{Tick, Waiting, Written};
use crate::types::RequestId;
use crate::usage::error::Unavailable;
use crate::usage::rows::{AttemptRow, Intent};
use crate::usage::settling::Job;

/// A file that has grown to this is followed by the next.
const LARGEST: u64 = 1 << 20;

thread_local! {
    /// Where this thread makes a record that is written at once.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
    /// This thread's slot among those that write; taken at its first record.
    static SLOT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// The journal of a running gateway.
#[derive(Debug)]
pub(in crate::usage) struct Journal {
    database: PathBuf,
    /// Whether each record must reach the disk before its attempt is sent.
    durable: bool,
    /// Whether the last record could not be written.
    failing: AtomicBool,
    closed: AtomicBool,
    /// The next file's number.
    next: AtomicU64,
    /// One for each core's thread.
    slots: Box<[Mutex<Slot>]>,
}

/// Where a thread's records go.
#[derive(Debug, Default)]
struct Slot {
    file: Option<Current>,
    /// What is to be written next, where records are written once a tick.
    tick: Option<Tick>,
}

/// A file that takes records.
#[derive(Debug)]
struct Current {
    segment: Arc<Segment>,
    /// Its length, with what is to be written next.
    size: u64,
}

/// What became of a record.
#[derive(Debug)]
pub(in crate::usage) enum Noted {
    /// It was written, or not.
    Now(Result<(), Unavailable>),
    /// It is written at the end of the tick.
    Later(Waiting),
}

/// What became of a settlement.
pub(in crate::usage) enum Settled {
    /// It lies in the journal.
    Now(Job),
    /// The journal cannot take it.
    Failed(Job),
    /// It is written at the end of the tick, as this one of the tick's.
    Later(Waiting, usize),
}

/// What was written at the end of a tick, and for whom.
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
            slots: (0..threads).map(|_| Mutex::default()).collect(),
        }
    }

    /// Notes an intent. It is in the file when the answer says so.
    pub(in crate::usage) fn intend(&self, intent: &Intent<'_>, held: &mut SegmentRefs) -> Noted {
        self.add(held, |records| record::write_intent(records, intent))
    }

    /// Notes attempts that ended while their request goes on.
    pub(in crate::usage) fn note_ends(
        &self,
        request: RequestId,
        ended: &[AttemptRow],
        held: &mut SegmentRefs,
    ) -> Noted {
        self.add(held, |records| record::write_ends(records, request, ended))
    }

    fn add(&self, held: &mut SegmentRefs, make: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Noted {
        let mut slot = lock(&self.slots[self.slot()]);
        match self.note(&mut slot, held, make) {
            Ok(None) => Noted::Now(self.noted(Ok(()))),
            Ok(Some(waiting)) => Noted::Later(waiting),
            Err(error) => Noted::Now(self.noted(Err(error))),
        }
    }

    /// Notes a settlement, but for its bodies.
    pub(in crate::usage) fn settle(&self, mut job: Job) -> Settled {
        let mut slot = lock(&self.slots[self.slot()]);
        let Job { settlement, held, .. } = &mut job;
        match self.note(&mut slot, held, |records| record::write_settlement(records, settlement)) {
            Ok(None) => {
                let _known = self.noted(Ok(()));
                Settled::Now(job)
            }
            Ok(Some(waiting)) => {
                let jobs = slot.tick.as_mut().map_or(0, |tick| tick.add(job));
                Settled::Later(waiting, jobs)
            }
            Err(error) => {
                let _known = self.noted(Err(error));
                Settled::Failed(job)
            }
        }
    }

    /// Whether records can be written; where the last could not, tries with an empty one.
    pub(in crate::usage) fn is_writable(&self) -> bool {
        if !self.failing.load(Ordering::Relaxed) {
            return true;
        }
        let mut slot = lock(&self.slots[self.slot()]);
        let mut empty = Vec::new();
        let written = record::write_empty(&mut empty).and_then(|()| self.opened(&mut slot));
        let written = written.and_then(|()| self.write(&mut slot, &empty, empty.len())).map(drop);
        self.noted(written).is_ok()
    }

    /// Notes a record: in the file at once, or in the tick that is written next.
    fn note(
        &self,
        slot: &mut Slot,
        held: &mut SegmentRefs,
        make: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
    ) -> io::Result<Option<Waiting>> {
        self.opened(slot)?;
        if let (Some(tick), Some(file)) = (&mut slot.tick, &mut slot.file) {
            file.size += tick.write(make)? as u64;
            held.hold(&file.segment);
            return Ok(Some(tick.waiting()));
        }
        let mut record = BUFFER.take();
        record.clear();
        make(&mut record)?;
        let written = self.write(slot, &record, record.len());
        BUFFER.set(record);
        let segment = written?;
        held.hold(&segment);
        if self.durable { segment.file.sync_data().map(|()| None) } else { Ok(None) }
    }

    /// Writes what was noted at a slot since the last time. `None` where that is nothing.
    pub(in crate::usage) fn flush(&self, slot: usize) -> Option<Flushed> {
        let mut slot = lock(&self.slots[slot]);
        let (records, jobs, written) = slot.tick.as_mut()?.take()?;
        let result = if slot.file.is_some() {
            self.write(&mut slot, &records, 0)
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        };
        if let Some(tick) = &mut slot.tick {
            tick.give_back(records);
        }
        drop(slot);
        let safe = result.and_then(|segment| if self.durable { segment.file.sync_data() } else { Ok(()) });
        Some(Flushed { jobs, written, result: self.noted(safe) })
    }

    /// Has what is noted at this thread's slot written once a tick, by the caller that [polls](Self::poll_tick) it; returns the slot.
    pub(in crate::usage) fn begin_ticks(&self) -> usize {
        let at = self.slot();
        lock(&self.slots[at]).tick.get_or_insert_default();
        at
    }

    /// Waits until something is noted at a slot.
    pub(in crate::usage) fn poll_tick(&self, slot: usize, context: &mut Context<'_>) -> Poll<()> {
        lock(&self.slots[slot]).tick.as_mut().map_or(Poll::Pending, |tick| tick.poll(context))
    }

    /// From now on, what is noted at a slot is written at once. To be followed by a last [`Self::flush`].
    pub(in crate::usage) fn end_ticks(&self, slot: usize) -> Option<Flushed> {
        let last = self.flush(slot);
        lock(&self.slots[slot]).tick = None;
        last
    }

    /// The slots of threads.
    pub(in crate::usage) fn slots(&self) -> std::ops::Range<usize> {
        0..self.slots.len()
    }

    /// This thread's slot.
    fn slot(&self) -> usize {
        slot() % self.slots.len()
    }

    /// Notes whether a record was written, and says so where that is news.
    fn noted(&self, written: io::Result<()>) -> Result<(), Unavailable> {
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

    /// Sees to it that a slot has a file that takes records.
    fn opened(&self, slot: &mut Slot) -> io::Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let is_full = slot.file.as_ref().is_some_and(|file| file.size >= LARGEST);
        // What is to be written next belongs to this file.
        if is_full && slot.tick.as_ref().is_none_or(Tick::is_empty) {
            self.retire(&mut slot.file);
        }
        if slot.file.is_none() {
            slot.file = Some(Current { segment: self.begin()?, size: 0 });
        }
        Ok(())
    }

    /// Writes to a slot's file, which grows by so much beyond what was noted before.
    fn write(&self, slot: &mut Slot, bytes: &[u8], more: usize) -> io::Result<Arc<Segment>> {
        let Some(Current { segment, size }) = &mut slot.file else { return Err(io::ErrorKind::NotFound.into()) };
        *size += more as u64;
        let written = (&segment.file).write(bytes);
        if matches!(written, Ok(count) if count == bytes.len()) {
            return Ok(segment.clone());
        }
        // After a part of a record, the next would be read as its end; so this file takes no more. What was written of it is
        // of calls that do not go out.
        let _torn = segment.file.set_len(size.saturating_sub(bytes.len() as u64));
        self.retire(&mut slot.file);
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

    /// Notes that requests are committed; deletes the files that hold no other request's records.
    pub(in crate::usage) fn settled(&self, all: impl Iterator<Item = SegmentRefs>) {
        // Most lie in the same file as the one before.
        let mut last: Option<(Arc<Segment>, usize)> = None;
        for SegmentRefs { first, others } in all {
            others.iter().for_each(|segment| self.release(segment, 1));
            match (&mut last, first) {
                (Some((segment, records)), Some((first, more))) if segment.number == first.number => *records += more,
                (_, Some(first)) => {
                    let before = last.replace(first);
                    before.into_iter().for_each(|(segment, records)| self.release(&segment, records));
                }
                (_, None) => {}
            }
        }
        last.into_iter().for_each(|(segment, records)| self.release(&segment, records));
    }

    /// Takes no more records, and deletes the last files if they hold no request's records.
    pub(in crate::usage) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.slots.iter().for_each(|slot| self.retire(&mut lock(slot).file));
    }

    /// Makes every write to the files of now fail, as on a disk that is full.
    #[cfg(test)]
    pub(in crate::usage) fn break_files(&self) {
        for slot in &self.slots {
            let mut slot = lock(slot);
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let file = File::open("/dev/null").unwrap();
            self.retire(&mut slot.file);
            let segment = Arc::new(Segment { number, file, held: AtomicUsize::new(1) });
            slot.file = Some(Current { segment, size: 0 });
        }
    }

    /// Lets go of a file's records; deletes it when that were the last, and it takes no more.
    fn release(&self, segment: &Segment, records: usize) {
        if segment.held.fetch_sub(records, Ordering::AcqRel) == records {
            remove(&segment_path(&self.database, segment.number));
        }
    }

    fn retire(&self, file: &mut Option<Current>) {
        if let Some(Current { segment, .. }) = file.take() {
            self.release(&segment, 1);
        }
    }
}

/// This thread's slot among those that write records.
fn slot() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    SLOT.get().unwrap_or_else(|| {
        let slot = NEXT.fetch_add(1, Ordering::Relaxed);
        SLOT.set(Some(slot));
        slot
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

    fn intent(journal: &Journal, n: u32, user: &str) -> (RequestRow, SegmentRefs) {
        let request = RequestRow { id: RequestId::new(), user: Some(user.into()), ..RequestRow::default() };
        let attempt = AttemptRow { n, provider: "p".into(), reserved: Nanos(7), ..AttemptRow::default() };
        let mut held = SegmentRefs::default();
        let noted = journal.intend(&Intent { request: &request, attempt: &attempt, ended: &[] }, &mut held);
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
        let (_, first_ends) = record::read(&bytes).unwrap();
        for end in 0..=bytes.len() {
            std::fs::write(&path, &bytes[..end]).unwrap();
            let Found { intents, damaged, .. } = read(&path).unwrap();
            let whole = usize::from(end >= first_ends) + usize::from(end >= bytes.len());
            let torn = usize::from(end > 0 && end != first_ends && end < bytes.len());
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
        journal.settled([all.remove(0), SegmentRefs::default()].into_iter());
        assert_eq!(segments(&database).unwrap(), [2, 3]);
        journal.settled(all.into_iter());
        assert_eq!(segments(&database).unwrap(), [3]);
        journal.close();
        assert!(segments(&database).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_cannot_be_made_is_reported_and_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("later/f.db");
        let journal = Journal::new(&database, 1, false);
        let request = RequestRow::default();
        let attempt = AttemptRow::default();
        assert!(journal.is_writable());
        let noted =
            journal.intend(&Intent { request: &request, attempt: &attempt, ended: &[] }, &mut SegmentRefs::default());
        assert!(matches!(noted, Noted::Now(Err(Unavailable))));
        assert!(!journal.is_writable());
        std::fs::create_dir(folder.path().join("later")).unwrap();
        assert!(journal.is_writable());
        drop(intent(&journal, 1, "x"));
        assert_eq!(segments(&database).unwrap().len(), 1);
    }
}
