//! The one task that writes feedback: what waits goes into one transaction, and is answered once that is committed.

use std::collections::HashMap;

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use super::id::FeedbackId;
use super::new::{Metric, NewFeedback, Subject};
use super::store::{self, Placed, Unique};
use crate::db::{self, Db, Tx};
use crate::types::RequestId;

/// The most jobs of one transaction: a long one would keep the ledger's own from the file.
const AT_ONCE: usize = 256;
/// The most bytes of words of one transaction.
const BYTES_AT_ONCE: usize = 2 << 20;

/// The id of what was stored; `None` where its request or session is not known, or is another project's.
pub(super) type Stored = Option<FeedbackId>;

/// Work for the writer.
pub(super) enum Job {
    /// Store feedback.
    Store(Box<Waiting>),
    /// End, once all that came before is written.
    Close(oneshot::Sender<()>),
}

/// Feedback that waits to be written.
pub(super) struct Waiting {
    pub(super) new: NewFeedback,
    pub(super) done: oneshot::Sender<Stored>,
    /// The room that it takes until it is written.
    pub(super) _room: OwnedSemaphorePermit,
}

/// Writes until it is asked to end, or nobody can send any more.
pub(super) async fn run(db: Db, mut jobs: mpsc::UnboundedReceiver<Job>) {
    while let Some(first) = jobs.recv().await {
        let (mut batch, mut bytes, mut closer) = (Vec::new(), 0, None);
        let mut next = Some(first);
        while let Some(job) = next.take() {
            match job {
                Job::Store(waiting) => {
                    bytes += waiting.new.value.weight();
                    batch.push(*waiting);
                }
                Job::Close(done) => closer = Some(done),
            }
            if batch.len() < AT_ONCE && bytes < BYTES_AT_ONCE && closer.is_none() {
                next = jobs.try_recv().ok();
            }
        }
        answer(&db, batch).await;
        if let Some(done) = closer {
            // Whoever stopped waiting has lost nothing.
            let _unheard = done.send(());
            return;
        }
    }
}

/// Writes a batch and answers it. Those who wait see a failure when their senders are dropped.
async fn answer(db: &Db, batch: Vec<Waiting>) {
    if batch.is_empty() {
        return;
    }
    match write(db, &batch).await {
        Ok(answers) => batch.into_iter().zip(answers).for_each(|(waiting, answer)| {
            // A caller that hung up has it stored all the same.
            let _unheard = waiting.done.send(answer);
        }),
        Err(error) => tracing::warn!(%error, waiting = batch.len(), "feedback cannot be written: {error}"),
    }
}

async fn write(db: &Db, batch: &[Waiting]) -> Result<Vec<Stored>, db::Error> {
    // The ledger's topic, so that on PostgreSQL no request is deleted meanwhile.
    let mut change = db.begin("ledger").await?;
    let mut answers = of_requests(db, &mut change, batch).await?;
    for (waiting, answer) in batch.iter().zip(&mut answers) {
        if let Subject::Session(session) = &waiting.new.subject {
            *answer = of_session(db, &mut change, (session, &waiting.new)).await?;
        }
    }
    change.commit().await?;
    Ok(answers)
}

/// Stores what is of requests; of several for the same request and metric the last one.
async fn of_requests(db: &Db, change: &mut Tx, batch: &[Waiting]) -> Result<Vec<Stored>, db::Error> {
    let request = |new: &NewFeedback| match new.subject {
        Subject::Request(id) => Some(id),
        Subject::Session(_) => None,
    };
    let mut ids: Vec<RequestId> = batch.iter().filter_map(|waiting| request(&waiting.new)).collect();
    ids.sort_unstable();
    ids.dedup();
    let projects = store::projects(change, &ids).await?;
    let mut last: HashMap<(RequestId, &Metric), Placed<'_>> = HashMap::new();
    for Waiting { new, .. } in batch {
        let Some(request) = request(new) else { continue };
        let Some(project) = projects.get(&request).filter(|project| is_of(new, project)) else { continue };
        let placed = Placed { id: FeedbackId::new(), request, session: None, project, new };
        last.insert((request, &new.metric), placed);
    }
    let mut placed: Vec<Placed<'_>> = last.into_values().collect();
    // In the order of the table, whose right edge grows.
    placed.sort_by_key(|placed| placed.request);
    let mut stored = HashMap::new();
    for some in placed.chunks(store::AT_ONCE) {
        stored.extend(store::put((change, db.engine()), Unique::OfRequest, some).await?);
    }
    let answer = |new: &NewFeedback| {
        let request = request(new).filter(|id| projects.get(id).is_some_and(|project| is_of(new, project)))?;
        stored.get(&(request, new.metric.as_str().to_owned())).copied()
    };
    Ok(batch.iter().map(|waiting| answer(&waiting.new)).collect())
}

/// Stores what is of a session, at its last request.
async fn of_session(db: &Db, change: &mut Tx, (session, new): (&str, &NewFeedback)) -> Result<Stored, db::Error> {
    let session = db.engine().storable(session);
    let Some((request, project)) = store::last_of(change, &session, new.project.as_deref()).await? else {
        return Ok(None);
    };
    let placed = Placed { id: FeedbackId::new(), request, session: Some(&session), project: &project, new };
    let stored = store::put((change, db.engine()), Unique::OfSession, &[placed]).await?;
    Ok(stored.into_values().next())
}

/// Whether feedback may be of a project's requests.
fn is_of(new: &NewFeedback, project: &str) -> bool {
    new.project.as_deref().is_none_or(|own| own == project)
}
