//! Feedback: what people and programs report of answers, by request or by session.

mod error;
mod id;
mod listing;
mod new;
mod store;
#[cfg(test)]
mod tests;
mod value;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;

use self::writer::{Job, Waiting};
use crate::db::Db;
use crate::types::RequestId;

pub use self::error::Error;
pub use self::id::FeedbackId;
pub use self::listing::{Cursor, Entry, Listing, Page};
pub use self::new::{Body, Metric, NewFeedback, Reporter, Subject};
pub use self::value::{Kind, Value};

/// The room for what waits to be written, in KiB; each takes one, and one more for each KiB of its words.
const ROOM: u32 = 16_384;
/// How long feedback waits for room, and the end of the process for the last of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// All feedback. Copies are the same.
#[derive(Clone, Debug)]
pub struct Feedback {
    db: Db,
    jobs: mpsc::UnboundedSender<Job>,
    room: Arc<Semaphore>,
}

impl Feedback {
    /// The feedback in `db`, which holds the ledger's rows too.
    #[must_use]
    pub fn open(db: Db) -> Self {
        let (jobs, waiting) = mpsc::unbounded_channel();
        #[expect(
            clippy::disallowed_methods,
            reason = "feedback has one writer, which ends when nobody can send to it"
        )]
        tokio::spawn(writer::run(db.clone(), waiting));
        Self { db, jobs, room: Arc::new(Semaphore::new(ROOM as usize)) }
    }

    /// Stores feedback in the place of an earlier one of the same request or session and metric, whose id it keeps. It is in the
    /// database when this returns.
    ///
    /// # Errors
    /// As [`Error`] lists.
    pub async fn store(&self, new: NewFeedback) -> Result<FeedbackId, Error> {
        let subject = new.subject.clone();
        let weight = u32::try_from(new.value.weight() / 1_024).unwrap_or(ROOM).saturating_add(1);
        let room = timeout(PATIENCE, self.room.clone().acquire_many_owned(weight)).await;
        let room = room.map_err(|_| Error::Busy)?.map_err(|_| Error::Unwritten)?;
        let (done, stored) = oneshot::channel();
        let waiting = Waiting { new, done, _room: room };
        self.jobs.send(Job::Store(Box::new(waiting))).map_err(|_| Error::Unwritten)?;
        let stored = stored.await.map_err(|_| Error::Unwritten)?;
        stored.ok_or_else(|| match subject {
            Subject::Request(id) => Error::NoSuchRequest(id.to_string()),
            Subject::Session(session) => Error::NoSuchSession(session.chars().take(80).collect()),
        })
    }

    /// A page of feedback, the latest first.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn list(&self, listing: &Listing) -> Result<Page, Error> {
        listing::list(&self.db, listing).await
    }

    /// The feedback of one request, and of the session whose last request it was when that came; of one project's alone where that is
    /// named.
    ///
    /// # Errors
    /// Where the database cannot be read.
    pub async fn of(&self, request: RequestId, project: Option<&str>) -> Result<Vec<Entry>, Error> {
        let project = project.map(ToOwned::to_owned);
        let listing = Listing { request: Some(request), project, limit: Some(u32::MAX), ..Listing::default() };
        Ok(self.list(&listing).await?.rows)
    }

    /// Writes what waits, and ends. What is sent afterwards is refused.
    pub async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.jobs.send(Job::Close(done)).is_ok() {
            // A writer that is gone has nothing left to write.
            let _gone = timeout(PATIENCE, closed).await;
        }
    }
}
