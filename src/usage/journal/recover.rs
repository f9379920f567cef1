//! What a crash left in the journal: settlements that the database lacks are written, and attempts with an intent and no row
//! become rows of status `unknown`, charged what was reserved.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::found::{self, Found};
use super::segment;
use crate::db::Sqlite;
use crate::types::{Nanos, RequestId};
use crate::usage::error::{Cause, Error};
use crate::usage::lock::LOCK_PAUSE;
use crate::usage::rows::{AttemptRow, RequestRow, Settlement, Status};
use crate::usage::settling::Amendment;
use crate::usage::store::queries;
use crate::usage::store::writer::{Failure, Writer};

/// Requests that one transaction takes up.
const AT_ONCE: usize = 256;

/// Takes up every file of the journal, and deletes it when all its records are committed.
///
/// A file whose writer still lives after `patience` is left alone, and so are all others.
///
/// Settlements come first, of all files: a request's intents may lie in a file before its settlement's.
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
    let mut charged = 0;
    for path in files {
        let found = open(path)?;
        for some in by_request(found.intents).chunks(AT_ONCE) {
            charged += take_up(db, writer, some).await?;
        }
        segment::remove(path);
    }
    if settled + charged > 0 {
        tracing::warn!(
            settled,
            charged,
            "the last process ended without notice: {settled} requests are taken up from its journal, and {charged} attempts \
             were cut off; each is charged what was reserved for it"
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

type Cut = (RequestRow, Vec<AttemptRow>);

fn by_request(intents: Vec<(RequestRow, AttemptRow)>) -> Vec<Cut> {
    let mut requests: BTreeMap<RequestId, Cut> = BTreeMap::new();
    for (request, attempt) in intents {
        let (_, attempts) = requests.entry(request.id).or_insert_with(|| (request, Vec::new()));
        if attempts.iter().all(|other| other.n != attempt.n) {
            attempts.push(attempt);
        }
    }
    requests.into_values().collect()
}

async fn take_up(db: &Sqlite, writer: &mut Writer, requests: &[Cut]) -> Result<usize, Error> {
    let mut settlements = Vec::new();
    let mut amendments = Vec::new();
    let mut connection = db.connect().await?;
    let known = queries::known_attempts(&mut connection, requests.iter().map(|(request, _)| request.id)).await?;
    for (request, attempts) in requests {
        let lost = attempts.iter().filter(|attempt| !known.contains(&(request.id, attempt.n)));
        let lost: Vec<_> = lost.map(charged).collect();
        if lost.is_empty() {
            continue;
        }
        match queries::request(&mut connection, request.id).await? {
            Some(request) => {
                amendments.extend(lost.into_iter().map(|attempt| Amendment { request: request.clone(), attempt }));
            }
            None => settlements.push(cut_off(request, lost)),
        }
    }
    let count = amendments.len() + settlements.iter().map(|one: &Settlement| one.attempts.len()).sum::<usize>();
    if count == 0 {
        return Ok(0);
    }
    let batch: Vec<_> = settlements.iter().collect();
    writer.write(&batch, &amendments).await.map_err(|failure| {
        Error::Sql(match failure {
            Failure::Duplicate => Cause::contradiction("an attempt that was cut off has a row already"),
            Failure::Unfit(reason) | Failure::Busy(reason) | Failure::Unwritable(reason) => reason,
        })
    })?;
    Ok(count)
}

fn charged(attempt: &AttemptRow) -> AttemptRow {
    // Nothing is set aside where no price is known, and what is unknown is not free. Earlier versions reserved without a bound.
    let cost = Some(attempt.reserved).filter(|reserved| (Nanos(1)..=Nanos::MOST).contains(reserved));
    AttemptRow { status: Status::Unknown, cost, ..attempt.clone() }
}

fn cut_off(request: &RequestRow, attempts: Vec<AttemptRow>) -> Settlement {
    let last = attempts.iter().max_by_key(|attempt| attempt.n);
    let priced: Vec<Nanos> = attempts.iter().filter_map(|attempt| attempt.cost).collect();
    let mut request = Box::new(RequestRow {
        provider: last.map(|attempt| attempt.provider.clone()),
        model: last.map(|attempt| attempt.model.clone()),
        status: Status::Unknown,
        cost: (!priced.is_empty()).then(|| priced.iter().copied().sum()),
        unpriced: priced.len() < attempts.len(),
        ..request.clone()
    });
    // A settlement is bounded before it is journaled, an intent is not.
    request.bound();
    Settlement { request, attempts, bodies: None }
}
