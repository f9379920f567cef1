//! What a crash left in the journal: settlements that the database lacks are written, and attempts with an intent and no row
//! become rows. Those that had ended have the status and the cost of their end; the others are `unknown`, charged what was
//! reserved.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::found::{self, Found};
use super::segment;
use crate::chat::Usage;
use crate::db::Sqlite;
use crate::types::{Nanos, RequestId};
use crate::usage::error::{Cause, Error};
use crate::usage::lock::LOCK_PAUSE;
use crate::usage::rows::{AttemptRow, RequestRow, Role, Settlement, Status};
use crate::usage::settling::Amendment;
use crate::usage::store::queries;
use crate::usage::store::writer::{Failure, Writer};

/// Requests that one transaction takes up.
const AT_ONCE: usize = 256;

/// Takes up every file of the journal, and deletes them when all their records are committed.
///
/// A file whose writer still lives after `patience` is left alone, and so are all others.
///
/// Settlements come first, of all files: a request's records may lie in several, in any order.
///
/// # Errors
/// Where a file cannot be read, its writer still lives, or the database cannot be written. Nothing is written twice by starting again.
pub(in crate::usage) async fn all(
    db: &Sqlite,
    writer: &mut Writer,
    files: &[PathBuf],
    patience: Duration,
) -> Result<(), Error> {
    // Held until all is taken up.
    let _claimed = claimed(files, patience).await?;
    let mut settled = 0;
    for path in files {
        let found = open(path)?;
        if found.damaged > 0 {
            let (path, damaged) = (path.display(), found.damaged);
            tracing::warn!(%path, damaged, "{damaged} damaged records in {path} are left out; the last record of a crash may be torn");
        }
        for some in found.settlements.chunks(AT_ONCE) {
            settled += settle(db, writer, some).await?;
        }
    }
    let mut lost = Lost::default();
    for path in files {
        lost.add(db, open(path)?).await?;
    }
    let (mut ended, mut charged) = (0, 0);
    for some in lost.by_request().chunks(AT_ONCE) {
        take_up(db, writer, some).await?;
        let attempts = some.iter().flat_map(|(_, attempts)| attempts);
        let (whole, cut): (Vec<_>, Vec<_>) = attempts.partition(|attempt| attempt.is_ended);
        (ended, charged) = (ended + whole.len(), charged + cut.len());
    }
    files.iter().for_each(|path| segment::remove(path));
    if settled + ended + charged > 0 {
        tracing::warn!(
            settled,
            ended,
            charged,
            "the last process ended without notice: {settled} requests are taken up from its journal, {ended} attempts of others \
             had ended and cost what they did, and {charged} attempts were cut off; each is charged what was reserved for it"
        );
    }
    Ok(())
}

/// Locks files whose writer is gone, or goes within `patience`: a process that ends may still have some open.
async fn claimed(files: &[PathBuf], patience: Duration) -> Result<Vec<File>, Error> {
    let until = Instant::now() + patience;
    loop {
        match files.iter().map(|path| claim(path)).collect() {
            Err(Error::InUse(_)) if Instant::now() < until => sleep(LOCK_PAUSE).await,
            answer => return answer,
        }
    }
}

/// Locks a file whose writer is gone.
fn claim(path: &Path) -> Result<File, Error> {
    let claimed = File::open(path).and_then(|file| segment::claim(&file).map(|()| file));
    claimed.map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => Error::InUse(path.to_owned()),
        _ => Error::File { path: path.to_owned(), source },
    })
}

fn open(path: &Path) -> Result<Found, Error> {
    found::read(path).map_err(|source| Error::File { path: path.to_owned(), source })
}

/// Writes those of the settlements that have no row; returns how many.
async fn settle(db: &Sqlite, writer: &mut Writer, settlements: &[Settlement]) -> Result<usize, Error> {
    let ids = settlements.iter().map(|one| one.request.id);
    let mut known: HashSet<_> = queries::known_requests(&mut db.connect().await?, ids).await?;
    let batch: Vec<_> = settlements.iter().filter(|one| known.insert(one.request.id)).collect();
    if batch.is_empty() {
        return Ok(0);
    }
    match writer.write(&batch, &[]).await {
        Ok(()) => return Ok(batch.len()),
        Err(Failure::Busy(reason) | Failure::Unwritable(reason)) => return Err(Error::Sql(reason)),
        Err(Failure::Duplicate | Failure::Unfit(_)) => {}
    }
    let mut written = 0;
    for one in batch {
        match writer.write(&[one], &[]).await {
            Ok(()) => written += 1,
            Err(Failure::Busy(reason) | Failure::Unwritable(reason)) => return Err(Error::Sql(reason)),
            Err(Failure::Duplicate) => {}
            // It must not keep the gateway from starting; its attempts are charged from their intents.
            Err(Failure::Unfit(reason)) => {
                let id = one.request.id;
                tracing::error!(%id, %reason, "a settlement does not fit the ledger and is left out: {reason}");
            }
        }
    }
    Ok(written)
}

/// An attempt that has no row.
struct LostAttempt {
    row: AttemptRow,
    /// Whether the journal says how it ended.
    is_ended: bool,
}

/// A request as its first intent has it, and those of its attempts that have no row.
type Cut = (RequestRow, Vec<LostAttempt>);

/// Attempts without a row, of all files.
#[derive(Default)]
struct Lost {
    requests: BTreeMap<RequestId, (RequestRow, BTreeMap<u32, AttemptRow>)>,
    /// How attempts ended whose request went on.
    ends: HashMap<(RequestId, u32), AttemptRow>,
}

impl Lost {
    /// Adds a file's intents that have no row, and its ends.
    async fn add(&mut self, db: &Sqlite, found: Found) -> Result<(), Error> {
        let mut connection = db.connect().await?;
        for some in found.intents.chunks(AT_ONCE) {
            let ids: BTreeSet<_> = some.iter().map(|(request, _)| request.id).collect();
            let known = queries::known_attempts(&mut connection, ids.into_iter()).await?;
            for (request, attempt) in some.iter().filter(|(request, attempt)| !known.contains(&(request.id, attempt.n)))
            {
                let (_, attempts) =
                    self.requests.entry(request.id).or_insert_with(|| (request.clone(), BTreeMap::new()));
                attempts.entry(attempt.n).or_insert_with(|| attempt.clone());
            }
        }
        self.ends.extend(found.ends.into_iter().map(|(request, attempt)| ((request, attempt.n), attempt)));
        Ok(())
    }

    fn by_request(mut self) -> Vec<Cut> {
        let cut = self.requests.into_iter().map(|(id, (request, attempts))| {
            let attempts = attempts.into_iter().map(|(n, attempt)| match self.ends.remove(&(id, n)) {
                Some(row) => LostAttempt { row, is_ended: true },
                None => LostAttempt { row: charged(attempt), is_ended: false },
            });
            (request, attempts.collect())
        });
        cut.collect()
    }
}

async fn take_up(db: &Sqlite, writer: &mut Writer, requests: &[Cut]) -> Result<(), Error> {
    let mut settlements = Vec::new();
    let mut amendments = Vec::new();
    let mut connection = db.connect().await?;
    for (request, attempts) in requests {
        let lost = attempts.iter().map(|attempt| attempt.row.clone());
        match queries::request(&mut connection, request.id).await? {
            Some(request) => amendments.extend(lost.map(|attempt| Amendment { request: request.clone(), attempt })),
            None => settlements.push(cut_off(request, lost.collect())),
        }
    }
    let batch: Vec<_> = settlements.iter().collect();
    writer.write(&batch, &amendments).await.map_err(|failure| {
        Error::Sql(match failure {
            Failure::Duplicate => Cause::contradiction("an attempt that was cut off has a row already"),
            Failure::Unfit(reason) | Failure::Busy(reason) | Failure::Unwritable(reason) => reason,
        })
    })
}

/// The row of an attempt that had not ended.
fn charged(attempt: AttemptRow) -> AttemptRow {
    // Nothing is set aside where no price is known, and what is unknown is not free. Earlier versions reserved without a bound.
    let cost = Some(attempt.reserved).filter(|reserved| (Nanos(1)..=Nanos::MOST).contains(reserved));
    AttemptRow { status: Status::Unknown, cost, ..attempt }
}

/// What is left of a request that did not settle.
fn cut_off(request: &RequestRow, attempts: Vec<AttemptRow>) -> Settlement {
    let mut answers = attempts.iter().filter(|attempt| !matches!(attempt.role, Some(Role::Judge | Role::Embedding)));
    let last = answers.next_back().or(attempts.last());
    let priced: Vec<Nanos> = attempts.iter().filter_map(|attempt| attempt.cost).collect();
    let mut request = Box::new(RequestRow {
        provider: last.map(|attempt| attempt.provider.clone()),
        model: last.map(|attempt| attempt.model.clone()),
        status: Status::Unknown,
        usage: attempts.iter().filter_map(|attempt| attempt.usage).reduce(Usage::plus),
        cost: (!priced.is_empty()).then(|| priced.iter().copied().sum()),
        unpriced: priced.len() < attempts.len(),
        ..request.clone()
    });
    // A settlement is bounded before it is journaled, an intent is not.
    request.bound();
    Settlement { request, attempts, bodies: None }
}
