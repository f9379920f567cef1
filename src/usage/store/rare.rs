//! The statements that a batch seldom needs.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::queries::LEAST_SKEW;
use super::statements::one_attempt;
use super::values::Values;
use crate::usage::columns::{ATTEMPT, names};
use crate::usage::rows::{Bodies, Settlement};
use crate::usage::settling::Amendment;

/// Bodies, cut-off attempts of known requests, and a clock that ran away.
pub(super) async fn write(
    connection: &mut SqliteConnection,
    batch: &[&Settlement],
    amendments: &[Amendment],
    skew: i64,
) -> Result<(), sqlx::Error> {
    if skew > LEAST_SKEW {
        let keep = "insert into ledger_skew (id, micros) values (1, $1) on conflict (id) do update set micros = excluded.micros";
        sqlx::query(keep).bind(skew).execute(&mut *connection).await?;
    }
    for settlement in batch {
        let Some(Bodies { request, response }) = &settlement.bodies else { continue };
        let insert = sqlx::query("insert into bodies (request_id, request, response) values ($1, $2, $3)");
        let insert = insert.bind(settlement.request.id.to_string()).bind(&request[..]).bind(&response[..]);
        insert.execute(&mut *connection).await?;
    }
    for amendment in amendments {
        amend(connection, amendment).await?;
    }
    Ok(())
}

async fn amend(connection: &mut SqliteConnection, amendment: &Amendment) -> Result<(), sqlx::Error> {
    let Amendment { request, attempt } = amendment;
    // The row's cost is no longer that of the attempt it holds.
    let columns = names(&ATTEMPT);
    let apart = format!(
        "insert into attempts (request_id, {columns}) select request_id, {columns} from full_attempts \
         where request_id = $1 on conflict (request_id, n) do nothing"
    );
    sqlx::query(AssertSqlSafe(apart)).bind(request.id.to_string()).execute(&mut *connection).await?;
    let mut values = Values::default();
    values.attempt(request.id, attempt);
    sqlx::query_with(AssertSqlSafe(one_attempt()), values.finish()?).execute(&mut *connection).await?;
    let charge = "update requests set sent_at = null, cost = coalesce(cost, 0) + $1 where id = $2";
    let charge = sqlx::query(charge).bind(attempt.cost.unwrap_or_default().0).bind(request.id.to_string());
    charge.execute(&mut *connection).await.map(drop)
}
