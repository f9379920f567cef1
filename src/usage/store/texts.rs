//! Stored texts: requests and answers, where the configuration says that they are stored. Reads, lists and erases them.

use super::conditions::Conditions;
use super::queries;
use crate::db::{Db, Tx, assembled, query};
use crate::types::{RequestId, now};
use crate::usage::error::Error;
use crate::usage::report::{Filter, Order};
use crate::usage::rows::{Bodies, RequestRow};

/// Requests that one transaction erases.
const ERASED_AT_ONCE: u32 = 500;

/// Requests that began so long ago, in microseconds, have no call on their account any more.
const MARKED_SINCE: i64 = 6 * 3_600_000_000;

/// How long a mark stays, in microseconds: longer than any call that the gateway makes of its own.
const MARKED_FOR: i64 = 3_600_000_000;

/// The stored texts of one request; `None` where there are none.
///
/// # Errors
/// Where the database cannot be read.
pub async fn texts(db: &Db, id: RequestId) -> Result<Option<Bodies>, Error> {
    let select = query("select request, response from bodies where request_id = $1");
    let Some(row) = select.bind(id.to_string()).fetch_optional(db).await? else { return Ok(None) };
    let (request, response) = (row.get::<Vec<u8>>("request")?, row.get::<Vec<u8>>("response")?);
    Ok(Some(Bodies { request: request.into(), response: response.into() }))
}

/// Some requests under `filters` that began before `cursor`, newest first.
///
/// # Errors
/// Where the database cannot be read.
pub async fn some_requests(
    db: &Db,
    filters: &[Filter],
    cursor: Option<RequestId>,
    with_texts: bool,
) -> Result<Vec<RequestRow>, Error> {
    let mut conditions = Conditions::on(db.engine()).before(cursor.map(|id| id.to_string()), filters);
    if with_texts {
        conditions
            .sql
            .push_str(" and (id in (select request_id from bodies) or id in (select request_id from shadow_pairs))");
    }
    Ok(queries::list(db, conditions, Order::Started, ERASED_AT_ONCE).await?)
}

/// How many texts were erased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ErasedTexts {
    /// Requests whose texts were stored.
    pub requests: u64,
    /// Comments and demonstrations on them, and on their sessions.
    pub feedback: u64,
    /// Pairs of an answer and its shadow's.
    pub shadow_pairs: u64,
}

/// Deletes the texts of some requests, and of those that the gateway made of its own on their account, with what people wrote of
/// them and of their sessions.
///
/// # Errors
/// Where the statement fails; then nothing is deleted.
pub async fn erase(db: &Db, requests: &[RequestId]) -> Result<ErasedTexts, Error> {
    if requests.is_empty() {
        return Ok(ErasedTexts::default());
    }
    let mut change = db.begin("ledger").await?;
    let places: Vec<String> = (1..=requests.len()).map(|n| format!("${n}")).collect();
    let ids = places.join(", ");
    mark_erased(&mut change, requests, &ids).await?;
    let own = format!("select id from requests where of in ({ids})");
    let mut delete = assembled(format!("delete from bodies where request_id in ({ids}) or request_id in ({own})"));
    for id in requests {
        delete = delete.bind(id.to_string());
    }
    let gone = delete.execute(&mut change).await?;
    let pairs = assembled(format!("delete from shadow_pairs where request_id in ({ids}) or shadow_id in ({ids})"));
    let shadow_pairs = requests.iter().fold(pairs, |pairs, id| pairs.bind(id.to_string())).execute(&mut change).await?;
    let feedback = erase_feedback(&mut change, (requests, &ids)).await?;
    change.commit().await?;
    Ok(ErasedTexts { requests: gone, feedback, shadow_pairs })
}

/// Deletes the comments and demonstrations on some requests and their sessions, and the words of none else; `ids` are the
/// requests' places in a statement.
async fn erase_feedback(change: &mut Tx, (requests, ids): (&[RequestId], &str)) -> Result<u64, Error> {
    let of_sessions = format!(
        "select f.id from full_requests r join feedback f on f.project = r.project and f.session = r.session \
         where r.id in ({ids}) and f.session is not null"
    );
    let delete = assembled(format!(
        "delete from feedback where words is not null and (request_id in ({ids}) or id in ({of_sessions}))"
    ));
    Ok(requests.iter().fold(delete, |delete, id| delete.bind(id.to_string())).execute(change).await?)
}

/// Marks the requests on whose account a call may still run, so that nothing is stored of it behind the erasure.
async fn mark_erased(change: &mut Tx, requests: &[RequestId], ids: &str) -> Result<(), Error> {
    let now = now();
    let (at, since) = (requests.len() + 1, requests.len() + 2);
    let mark = assembled(format!(
        "insert into erased_requests (request_id, erased_at) select id, cast(${at} as bigint) from requests \
         where id in ({ids}) and started_at >= ${since} on conflict (request_id) do nothing"
    ));
    let mark = requests.iter().fold(mark, |mark, id| mark.bind(id.to_string()));
    mark.bind(now.0).bind(now.0 - MARKED_SINCE).execute(&mut *change).await?;
    let old = query("delete from erased_requests where erased_at < $1");
    old.bind(now.0 - MARKED_FOR).execute(change).await?;
    Ok(())
}
