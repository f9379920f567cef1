//! What a crash cut off: attempts with an intent and no row become rows of status `unknown`, charged what was reserved.

use std::collections::BTreeMap;

use super::error::Error;
use super::journal;
use super::rows::{AttemptRow, RequestRow, Settlement, Status};
use super::store;
use super::writer::{Amendment, Failure, Writer};
use crate::db::Db;
use crate::types::{Nanos, RequestId};

/// Requests that one transaction takes up.
const AT_ONCE: usize = 256;

/// Takes up every file of intents in turn, and deletes it when its attempts are committed.
///
/// # Errors
/// Where a file cannot be read or the database not be written. Nothing is charged twice by starting again.
pub(super) async fn all(db: &Db, writer: &mut Writer, segments: &[u64]) -> Result<(), Error> {
    for number in segments {
        let path = journal::segment_path(db.path(), *number);
        let (intents, damaged) = journal::read(&path).map_err(|source| Error::File { path: path.clone(), source })?;
        if damaged > 0 {
            let path = path.display();
            tracing::warn!(%path, damaged, "{damaged} damaged intents in {path} are left out; the last line of a crash may be torn");
        }
        let requests = by_request(intents);
        let mut charged = 0;
        for some in requests.chunks(AT_ONCE) {
            charged += take_up(db, writer, some).await?;
        }
        if charged > 0 {
            tracing::warn!(charged, "{charged} attempts were cut off; each is charged what was reserved for it");
        }
        journal::remove(&path);
    }
    Ok(())
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

async fn take_up(db: &Db, writer: &mut Writer, requests: &[Cut]) -> Result<usize, Error> {
    let mut settlements = Vec::new();
    let mut amendments = Vec::new();
    let mut connection = db.connect().await?;
    for (request, attempts) in requests {
        let known = store::attempt_numbers(&mut connection, request.id).await?;
        let lost = attempts.iter().filter(|attempt| !known.contains(&attempt.n)).map(charged);
        let row = store::request(&mut connection, request.id).await?;
        match row {
            Some(request) => amendments.extend(lost.map(|attempt| Amendment { request: request.clone(), attempt })),
            None => settlements.push(cut_off(request, lost.collect())),
        }
    }
    let count = amendments.len() + settlements.iter().map(|one: &Settlement| one.attempts.len()).sum::<usize>();
    if count == 0 {
        return Ok(0);
    }
    let batch: Vec<_> = settlements.iter().collect();
    writer.write(&batch, &amendments).await.map_err(|failure| {
        Error::Sql(match failure {
            Failure::Duplicate => "an attempt that was cut off has a row already".to_owned(),
            Failure::Unfit(reason) | Failure::Unwritable(reason) => reason,
        })
    })?;
    Ok(count)
}

fn charged(attempt: &AttemptRow) -> AttemptRow {
    // Nothing is set aside where no price is known, and what is unknown is not free.
    let cost = Some(attempt.reserved).filter(|reserved| reserved.0 > 0);
    AttemptRow { status: Status::Unknown, cost, ..attempt.clone() }
}

fn cut_off(request: &RequestRow, attempts: Vec<AttemptRow>) -> Settlement {
    let last = attempts.iter().max_by_key(|attempt| attempt.n);
    let priced: Vec<Nanos> = attempts.iter().filter_map(|attempt| attempt.cost).collect();
    let request = RequestRow {
        provider: last.map(|attempt| attempt.provider.clone()),
        model: last.map(|attempt| attempt.model.clone()),
        status: Status::Unknown,
        cost: (!priced.is_empty()).then(|| priced.iter().copied().sum()),
        unpriced: priced.len() < attempts.len(),
        ..request.clone()
    };
    Settlement { request, attempts, bodies: None }
}
