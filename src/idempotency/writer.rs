//! The one task that writes records: what waits goes into one transaction, in the order in which it was told.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::store::{self, Change, Row};
use super::{Asked, Error};
use crate::db::{self, Db};
use crate::types::Timestamp;

/// The most jobs of one transaction.
const AT_ONCE: usize = 256;

/// What is to be written, and who waits for it.
#[derive(Debug)]
pub(super) enum Job {
    /// Notes a call, unless its key has a record.
    Begin { asked: Asked, oldest: Timestamp, done: oneshot::Sender<Result<Option<Row>, Error>> },
    /// Keeps an answer.
    Keep {
        asked: Asked,
        model: Option<Arc<str>>,
        is_stream: bool,
        body: Option<Bytes>,
        max_size: u64,
        done: oneshot::Sender<Result<(), Error>>,
    },
    /// Forgets a call that failed.
    Release(Asked),
    /// Forgets what is old, or too much.
    Prune { oldest: Timestamp, max_size: u64 },
    /// Ends.
    Close(oneshot::Sender<()>),
}

/// What a job's writing gave, told once it is committed.
enum Told {
    Begun(oneshot::Sender<Result<Option<Row>, Error>>, Option<Row>),
    Kept(oneshot::Sender<Result<(), Error>>),
    Closed(oneshot::Sender<()>),
}

/// The writer, with what it knows of the records.
struct Writer {
    db: Db,
    /// The bytes that all records take; unknown at first.
    size: Option<u64>,
    /// Calls that failed while the database could not be written.
    late: Vec<Asked>,
}

/// Writes until it is told to end.
pub(super) async fn run(db: Db, mut waiting: mpsc::UnboundedReceiver<Job>) {
    let mut writer = Writer { db, size: None, late: Vec::new() };
    while let Some(first) = waiting.recv().await {
        let mut jobs = vec![first];
        while jobs.len() < AT_ONCE
            && let Ok(job) = waiting.try_recv()
        {
            jobs.push(job);
        }
        if writer.batch(jobs).await {
            return;
        }
    }
}

impl Writer {
    /// Writes a batch, and tells who waits; whether that was the last.
    async fn batch(&mut self, jobs: Vec<Job>) -> bool {
        let released: Vec<_> =
            jobs.iter().filter_map(|job| if let Job::Release(asked) = job { Some(*asked) } else { None }).collect();
        let closes = jobs.iter().any(|job| matches!(job, Job::Close(_)));
        match self.write(jobs).await {
            Ok(told) => {
                self.late.clear();
                told.into_iter().for_each(tell);
            }
            // Who waits for an answer learns of it as the senders go.
            Err(error) => {
                tracing::warn!(%error, "records of idempotency keys cannot be written: {error}");
                self.size = None;
                self.late.extend(released);
            }
        }
        closes
    }

    async fn write(&mut self, jobs: Vec<Job>) -> Result<Vec<Told>, db::Error> {
        let mut change = Change::begin(&self.db).await?;
        for asked in &self.late {
            change.release(asked).await?;
        }
        let mut told = Vec::new();
        let mut most = None;
        for job in jobs {
            match job {
                Job::Begin { asked, oldest, done } => {
                    let found = change.find(asked.name, oldest).await?;
                    if found.is_none() {
                        change.insert(&asked).await?;
                    }
                    told.push(Told::Begun(done, found));
                }
                Job::Keep { asked, model, is_stream, body, max_size, done } => {
                    change.keep(&asked, model.as_deref(), is_stream, body.as_ref()).await?;
                    self.size = self.size.map(|size| size + store::weight(body.as_ref()));
                    most = Some(max_size);
                    told.push(Told::Kept(done));
                }
                Job::Release(asked) => change.release(&asked).await?,
                Job::Prune { oldest, max_size } => {
                    change.prune(oldest).await?;
                    self.size = None;
                    most = Some(max_size);
                }
                Job::Close(done) => told.push(Told::Closed(done)),
            }
        }
        if let Some(most) = most {
            self.bound(&mut change, most).await?;
        }
        change.commit().await?;
        Ok(told)
    }

    /// Forgets the oldest where all take more than `most` bytes.
    async fn bound(&mut self, change: &mut Change, most: u64) -> Result<(), db::Error> {
        let mut size = match self.size {
            Some(size) => size,
            None => change.size().await?,
        };
        while size > most && change.shed().await? {
            size = change.size().await?;
        }
        self.size = Some(size);
        Ok(())
    }
}

fn tell(told: Told) {
    // Who waited may have left.
    match told {
        Told::Begun(done, found) => drop(done.send(Ok(found))),
        Told::Kept(done) => drop(done.send(Ok(()))),
        Told::Closed(done) => drop(done.send(())),
    }
}
