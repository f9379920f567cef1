//! Stored texts: requests and answers, where the configuration says that they are stored. Reads, lists and erases them.

use super::conditions::Conditions;
use super::queries;
use crate::db::{Db, assembled, query};
use crate::types::RequestId;
use crate::usage::error::Error;
use crate::usage::report::{Filter, Order};
use crate::usage::rows::{Bodies, RequestRow};

/// Requests that one transaction erases.
const ERASED_AT_ONCE: u32 = 500;

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
        conditions.sql.push_str(" and id in (select request_id from bodies)");
    }
    Ok(queries::list(db, conditions, Order::Started, ERASED_AT_ONCE).await?)
}

/// Deletes the texts of some requests, and of those that the gateway made of its own on their account; returns how many
/// requests had any.
///
/// # Errors
/// Where the statement fails; then nothing is deleted.
pub async fn erase(db: &Db, requests: &[RequestId]) -> Result<u64, Error> {
    if requests.is_empty() {
        return Ok(0);
    }
    let mut change = db.begin("ledger").await?;
    let places: Vec<String> = (1..=requests.len()).map(|n| format!("${n}")).collect();
    let ids = places.join(", ");
    let own = format!("select id from requests where of in ({ids})");
    let mut delete = assembled(format!("delete from bodies where request_id in ({ids}) or request_id in ({own})"));
    for id in requests {
        delete = delete.bind(id.to_string());
    }
    let gone = delete.execute(&mut change).await?;
    let pairs = assembled(format!("delete from shadow_pairs where request_id in ({ids}) or shadow_id in ({ids})"));
    requests.iter().fold(pairs, |pairs, id| pairs.bind(id.to_string())).execute(&mut change).await?;
    change.commit().await?;
    Ok(gone)
}
