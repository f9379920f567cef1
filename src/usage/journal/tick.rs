//! One write for all that a thread's calls note in the same tick of its event loop.
//!
//! The first record wakes the task that writes; it runs behind the calls that were ready by then, so their records go along. Nothing waits
//! for a timer, and alone a record is written at once.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::oneshot;

use crate::usage::error::Unavailable;
use crate::usage::settling::{Answer, Job};

/// A buffer that has grown beyond this is not used again.
const KEPT: usize = 1 << 20;

/// What was noted since the last write.
#[derive(Debug, Default)]
pub(in crate::usage) struct Tick {
    records: Vec<u8>,
    /// The settlements among the records.
    jobs: Vec<Job>,
    written: Arc<Written>,
    /// Who writes.
    writer: Option<Waker>,
}

/// Whether a tick's records were written, and who waits for them.
#[derive(Debug, Default)]
pub(in crate::usage) struct Written(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    outcome: Option<Answer>,
    wakers: Vec<Waker>,
    /// Where the records could not be written: the commits of the tick's settlements, in their order.
    commits: Vec<Option<oneshot::Receiver<Answer>>>,
}

/// Waits until a tick's records are written.
#[derive(Debug)]
pub(in crate::usage) struct Waiting {
    written: Arc<Written>,
    /// Which of those who wait this is.
    number: Option<usize>,
}

impl Tick {
    /// Adds a record; returns its length.
    ///
    /// # Errors
    /// Where it cannot be made; it is not added then.
    pub(in crate::usage) fn write(&mut self, make: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<usize> {
        let before = self.records.len();
        make(&mut self.records)?;
        if before == 0
            && let Some(writer) = &self.writer
        {
            writer.wake_by_ref();
        }
        Ok(self.records.len() - before)
    }

    /// Adds the settlement of the last record; returns which of the tick's it is.
    pub(in crate::usage) fn add(&mut self, job: Job) -> usize {
        self.jobs.push(job);
        self.jobs.len() - 1
    }

    pub(in crate::usage) fn waiting(&self) -> Waiting {
        Waiting { written: self.written.clone(), number: None }
    }

    pub(in crate::usage) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Waits until there is something to write.
    pub(in crate::usage) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.records.is_empty() {
            return Poll::Ready(());
        }
        if self.writer.as_ref().is_none_or(|writer| !writer.will_wake(context.waker())) {
            self.writer = Some(context.waker().clone());
        }
        Poll::Pending
    }

    /// Ends the tick: its records, its settlements, and who waits for it. `None` where there is nothing.
    pub(in crate::usage) fn take(&mut self) -> Option<(Vec<u8>, Vec<Job>, Arc<Written>)> {
        if self.records.is_empty() {
            return None;
        }
        let jobs = Vec::with_capacity(self.jobs.len());
        let jobs = std::mem::replace(&mut self.jobs, jobs);
        Some((std::mem::take(&mut self.records), jobs, std::mem::take(&mut self.written)))
    }

    /// Returns the room for records, to be used again.
    pub(in crate::usage) fn give_back(&mut self, mut records: Vec<u8>) {
        if self.records.is_empty() && records.capacity() <= KEPT {
            records.clear();
            self.records = records;
        }
    }
}

impl Written {
    /// Reports the outcome to all who wait. `commits` are what the tick's settlements wait for instead, where the records could not be written.
    pub(in crate::usage) fn report(&self, outcome: Answer, commits: Vec<oneshot::Receiver<Answer>>) {
        let mut state = self.lock();
        state.outcome = Some(outcome);
        state.commits = commits.into_iter().map(Some).collect();
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        let Self(state) = self;
        state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// What the tick's settlement of this number waits for, after its record could not be written.
    pub(in crate::usage) fn commit(&self, number: usize) -> Option<oneshot::Receiver<Answer>> {
        self.written.lock().commits.get_mut(number)?.take()
    }
}

impl Future for Waiting {
    type Output = Result<(), Unavailable>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { written, number } = self.get_mut();
        let mut state = written.lock();
        if let Some(outcome) = state.outcome {
            return Poll::Ready(outcome);
        }
        match number.and_then(|number| state.wakers.get_mut(number)) {
            Some(waker) if waker.will_wake(context.waker()) => {}
            Some(waker) => waker.clone_from(context.waker()),
            None => {
                *number = Some(state.wakers.len());
                state.wakers.push(context.waker().clone());
            }
        }
        Poll::Pending
    }
}
