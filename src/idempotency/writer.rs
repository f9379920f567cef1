//! The one task that writes records: waiting changes go into one transaction, in their order.

use std::collections::HashSet;

use tokio::sync::{mpsc, oneshot};

use super::asked::{Asked, Name};
use super::claim::{Begun, Claim, Job, State};
use super::store::{self, Change, Row};
use crate::db::{self, Db};

/// The most jobs of one transaction.
const AT_ONCE: usize = 256;

/// What follows once a transaction is committed, in order.
enum Committed {
    Begun(Box<Asking>),
    Over(Name),
    Done(oneshot::Sender<()>),
    Erased(oneshot::Sender<u64>, u64),
}

/// A claim, the sender for its outcome, and the record at its key.
struct Asking {
    claim: Claim,
    done: oneshot::Sender<Begun>,
    found: Option<Row>,
}

/// The writer's state.
struct Writer {
    db: Db,
    /// The calls that run now. A `running` record of no such call was cut off by the end of its process.
    running: HashSet<Name>,
    /// The bytes that all records take; unknown at first.
    size: Option<u64>,
    /// Calls that failed while the database could not be written.
    late: Vec<Asked>,
}

/// Writes until a job closes the writer.
pub(super) async fn run(db: Db, mut waiting: mpsc::UnboundedReceiver<Job>) {
    let mut writer = Writer { db, running: HashSet::new(), size: None, late: Vec::new() };
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
    /// Writes a batch, and reports to waiting callers; returns whether a job closed the writer.
    async fn batch(&mut self, jobs: Vec<Job>) -> bool {
        let released: Vec<_> =
            jobs.iter().filter_map(|job| if let Job::Release(asked) = job { Some(*asked) } else { None }).collect();
        let answered: Vec<_> = jobs
            .iter()
            .filter_map(|job| if let Job::Store { asked, .. } = job { Some(asked.name) } else { None })
            .collect();
        let closes = jobs.iter().any(|job| matches!(job, Job::Close(_)));
        match self.write(jobs).await {
            Ok(committed) => {
                self.late.drain(..).for_each(|asked| {
                    self.running.remove(&asked.name);
                });
                committed.into_iter().for_each(|one| self.report(one));
            }
            // Waiting callers notice the failure when their senders are dropped.
            Err(error) => {
                tracing::warn!(%error, "records of idempotency keys cannot be written: {error}");
                self.size = None;
                self.late.extend(released);
                for name in answered {
                    self.running.remove(&name);
                }
            }
        }
        closes
    }

    async fn write(&mut self, jobs: Vec<Job>) -> Result<Vec<Committed>, db::Error> {
        let mut change = Change::begin(&self.db).await?;
        for asked in &self.late {
            change.release(asked).await?;
        }
        let mut committed = Vec::new();
        let mut most = None;
        for job in jobs {
            match job {
                Job::Begin { claim, oldest, done } => {
                    let found = change.find(claim.asked.name, oldest).await?;
                    if found.is_none() {
                        change.insert(&claim.asked).await?;
                    }
                    committed.push(Committed::Begun(Box::new(Asking { claim, done, found })));
                }
                Job::Store { asked, answer, max_size, done } => {
                    change.store(&asked, answer.as_ref()).await?;
                    self.size = self.size.map(|size| size + store::weight(answer.as_ref()));
                    most = Some(max_size);
                    committed.extend([Committed::Over(asked.name), Committed::Done(done)]);
                }
                Job::Release(asked) => {
                    change.release(&asked).await?;
                    committed.push(Committed::Over(asked.name));
                }
                Job::Erase { requests, done } => {
                    let erased = change.erase(&requests).await?;
                    self.size = None;
                    committed.push(Committed::Erased(done, erased));
                }
                Job::Prune { oldest, max_size } => {
                    change.prune(oldest).await?;
                    self.size = None;
                    most = Some(max_size);
                }
                Job::Close(done) => committed.push(Committed::Done(done)),
            }
        }
        if let Some(most) = most {
            self.bound(&mut change, most).await?;
        }
        change.commit().await?;
        Ok(committed)
    }

    /// Deletes the oldest records where all take more than `most` bytes.
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

    fn report(&mut self, committed: Committed) {
        // A waiting caller may have left.
        match committed {
            Committed::Begun(asking) => {
                let Asking { mut claim, done, found } = *asking;
                drop(done.send(match found {
                    Some(row) => Begun::Before { row, runs: self.running.contains(&claim.asked.name) },
                    None => {
                        self.running.insert(claim.asked.name);
                        claim.state = State::Granted;
                        Begun::First(claim)
                    }
                }));
            }
            Committed::Over(name) => {
                self.running.remove(&name);
            }
            Committed::Done(done) => drop(done.send(())),
            Committed::Erased(done, erased) => drop(done.send(erased)),
        }
    }
}
