//! The retention: deletes what is old, in small transactions.

use super::queries::skew;
use crate::db::{Db, assembled, query};
use crate::types::{RequestId, Timestamp};
use crate::usage::error::Error;

/// Rows that one transaction deletes.
const PRUNED_AT_ONCE: i64 = 500;

/// Deletes what began before the hour of `before`: requests, their attempts and bodies, and hourly sums. Returns how many
/// requests went. It works in small transactions, so that the ledger's writer never waits long.
///
/// # Errors
/// Where a statement fails; what was deleted until then stays deleted.
pub async fn prune(db: &Db, before: Timestamp) -> Result<u64, Error> {
    let before = before.hour();
    let skew = skew(db).await?;
    // An id says the millisecond, so the one that lies furthest from its start is in the one after.
    let below = RequestId::first_at(Timestamp(before.0.saturating_add(skew).saturating_add(1_000))).to_string();
    let mut deleted = 0;
    loop {
        // On PostgreSQL the topic keeps out whoever else writes these tables, so that all see the same requests.
        let mut change = db.begin("ledger").await?;
        let some = "(select id from requests where id < $1 and started_at < $2 order by id limit $3)";
        for table in ["attempts", "bodies", "shadow_pairs", "feedback"] {
            let statement = format!("delete from {table} where request_id in");
            let delete = assembled(format!("{statement} {some}"));
            delete.bind(&*below).bind(before.0).bind(PRUNED_AT_ONCE).execute(&mut change).await?;
        }
        let delete = assembled(format!("delete from requests where id in {some}"));
        let gone = delete.bind(&*below).bind(before.0).bind(PRUNED_AT_ONCE).execute(&mut change).await?;
        let delete = query("delete from rollups where id in (select id from rollups where hour < $1 limit $2)");
        let sums = delete.bind(before.0).bind(PRUNED_AT_ONCE).execute(&mut change).await?;
        change.commit().await?;
        deleted += gone;
        if gone == 0 && sums == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    query("delete from erased_requests where erased_at < $1").bind(before.0).execute(db).await?;
    // All that refers to them is gone: nothing is younger than the hour of its dimensions.
    query("delete from kinds where hour < $1").bind(before.0).execute(db).await?;
    Ok(deleted)
}
