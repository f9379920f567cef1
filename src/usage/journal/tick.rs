//! One write for all that a thread's calls note in the same turn of its event loop.
//!
//! The first line wakes whoever writes; it runs behind the calls that were ready by then, so their lines go along. Nothing waits
//! for a timer, and alone a line is written at once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use crate::usage::error::Unavailable;
use crate::usage::settling::{Answer, Job};

/// A buffer that has grown beyond this is not kept.
const KEPT: usize = 1 << 20;

/// What was noted since the last write.
#[derive(Debug, Default)]
pub(in crate::usage) struct Turn {
    lines: Vec<u8>,
    /// The settlements among the lines.
    jobs: Vec<Job>,
    written: Arc<Written>,
    /// Who writes.
    writer: Option<Waker>,
}

/// Whether a turn's lines were written, told to all who wait for them.
#[derive(Debug, Default)]
pub(in crate::usage) struct Written(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    outcome: Option<Answer>,
    wakers: Vec<Waker>,
    /// Where the lines could not be written: the commits of the turn's settlements, in their order.
    commits: Vec<Option<oneshot::Receiver<Answer>>>,
}

/// Waits until a turn's lines are written.
#[derive(Debug)]
pub(in crate::usage) struct Waiting {
    written: Arc<Written>,
    /// Which of those who wait this is.
    place: Option<usize>,
}

impl Turn {
    /// Adds a line; tells its length.
    pub(in crate::usage) fn write(&mut self, make: impl FnOnce(&mut Vec<u8>)) -> usize {
        let before = self.lines.len();
        make(&mut self.lines);
        if before == 0
            && let Some(writer) = &self.writer
        {
            writer.wake_by_ref();
        }
        self.lines.len() - before
    }

    /// Adds the settlement of the last line; tells which of the turn's it is.
    pub(in crate::usage) fn add(&mut self, job: Job) -> usize {
        self.jobs.push(job);
        self.jobs.len() - 1
    }

    pub(in crate::usage) fn waiting(&self) -> Waiting {
        Waiting { written: self.written.clone(), place: None }
    }

    pub(in crate::usage) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Waits until there is something to write.
    pub(in crate::usage) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.lines.is_empty() {
            return Poll::Ready(());
        }
        if self.writer.as_ref().is_none_or(|writer| !writer.will_wake(context.waker())) {
            self.writer = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Ends the turn: its lines, its settlements, and who is to be told. `None` where there is nothing.
    pub(in crate::usage) fn take(&mut self) -> Option<(Vec<u8>, Vec<Job>, Arc<Written>)> {
        if self.lines.is_empty() {
            return None;
        }
        let jobs = Vec::with_capacity(self.jobs.len());
        let jobs = std::mem::replace(&mut self.jobs, jobs);
        Some((std::mem::take(&mut self.lines), jobs, std::mem::take(&mut self.written)))
    }

    /// Gives the room for lines back, to be used again.
    pub(in crate::usage) fn give_back(&mut self, mut lines: Vec<u8>) {
        if self.lines.is_empty() && lines.capacity() <= KEPT {
            lines.clear();
            self.lines = lines;
        }
    }
}

impl Written {
    /// Tells all who wait. `commits` are what the turn's settlements wait for instead, where the lines could not be written.
    pub(in crate::usage) fn tell(&self, outcome: Answer, commits: Vec<oneshot::Receiver<Answer>>) {
        let mut told = self.lock();
        told.outcome = Some(outcome);
        told.commits = commits.into_iter().map(Some).collect();
        let wakers = std::mem::take(&mut told.wakers);
        drop(told);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Told> {
        let Self(told) = self;
        told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// What the turn's settlement of this number waits for, after its line could not be written.
    pub(in crate::usage) fn commit(&self, number: usize) -> Option<oneshot::Receiver<Answer>> {
        self.written.lock().commits.get_mut(number)?.take()
    }
}

impl Future for Waiting {
    type Output = Result<(), Unavailable>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { written, place } = self.get_mut();
        let mut told = written.lock();
        if let Some(outcome) = told.outcome {
            return Poll::Ready(outcome);
        }
        match place.and_then(|place| told.wakers.get_mut(place)) {
            Some(waker) if waker.will_wake(context.waker()) => {}
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                *place = Some(told.wakers.len());
                told.wakers.push(context.waker().clone());
            }
        }
        Poll::Pending
    }
}
