//! The retention: deletes what is old, in small transactions.

use sqlx::AssertSqlSafe;

use super::queries::skew;
use crate::db::Sqlite as Db;
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
    let skew = skew(&mut *db.read().acquire().await?).await?;
    let below = RequestId::first_at(Timestamp(before.0.saturating_add(skew))).to_string();
    let mut deleted = 0;
    loop {
        let mut transaction = db.write().begin_with("begin immediate").await?;
        let some = "(select id from requests where id < $1 and started_at < $2 order by id limit $3)";
        for statement in ["delete from attempts where request_id in", "delete from bodies where request_id in"] {
            let delete = sqlx::query(AssertSqlSafe(format!("{statement} {some}")));
            delete.bind(&below).bind(before.0).bind(PRUNED_AT_ONCE).execute(&mut *transaction).await?;
        }
        let delete = sqlx::query(AssertSqlSafe(format!("delete from requests where id in {some}")));
        let gone = delete.bind(&below).bind(before.0).bind(PRUNED_AT_ONCE).execute(&mut *transaction).await?;
        let some = "(select id from rollups where hour < $1 limit $2)";
        let delete = sqlx::query(AssertSqlSafe(format!("delete from rollups where id in {some}")));
        let sums = delete.bind(before.0).bind(PRUNED_AT_ONCE).execute(&mut *transaction).await?;
        transaction.commit().await?;
        deleted += gone.rows_affected();
        if gone.rows_affected() == 0 && sums.rows_affected() == 0 {
            break;
        }
        tokio::task::yield_now().await;
    }
    // All that refers to them is gone: nothing is younger than the hour of its dimensions.
    sqlx::query("delete from kinds where hour < $1").bind(before.0).execute(db.write()).await?;
    Ok(deleted)
}
