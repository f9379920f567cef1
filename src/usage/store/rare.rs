//! The statements that a batch seldom needs.

use super::queries::LEAST_SKEW;
use super::statements::ATTEMPTS;
use super::values::{attempt_values, bind};
use crate::db::{Error, Executor, assembled, query};
use crate::usage::columns::{ATTEMPT, names};
use crate::usage::rows::{Bodies, Settlement};
use crate::usage::settling::Amendment;

/// Bodies, cut-off attempts of known requests, and a clock that ran away.
pub(super) async fn write(
    mut on: Executor<'_>,
    batch: &[&Settlement],
    amendments: &[Amendment],
    skew: i64,
) -> Result<(), Error> {
    if skew > LEAST_SKEW {
        let keep = "insert into ledger_skew (id, micros) values (1, $1) on conflict (id) do update set micros = excluded.micros";
        query(keep).bind(skew).execute(on.again()).await?;
    }
    for settlement in batch {
        let Some(Bodies { request, response }) = &settlement.bodies else { continue };
        let insert = query("insert into bodies (request_id, request, response) values ($1, $2, $3)");
        let insert = insert.bind(settlement.request.id.to_string()).bind(&request[..]).bind(&response[..]);
        insert.execute(on.again()).await?;
    }
    for amendment in amendments {
        amend(on.again(), amendment).await?;
    }
    Ok(())
}

async fn amend(mut on: Executor<'_>, amendment: &Amendment) -> Result<(), Error> {
    let Amendment { request, attempt } = amendment;
    // The row's cost is no longer that of the attempt it holds.
    let columns = names(&ATTEMPT);
    let apart = format!(
        "insert into attempts (request_id, {columns}) select request_id, {columns} from full_attempts \
         where request_id = $1 on conflict (request_id, n) do nothing"
    );
    assembled(apart).bind(request.id.to_string()).execute(on.again()).await?;
    let insert = bind(assembled(ATTEMPTS.numbered(1)), attempt_values(request.id, attempt));
    insert.execute(on.again()).await?;
    let charge = query("update requests set sent_at = null, cost = coalesce(cost, 0) + $1 where id = $2");
    let charge = charge.bind(attempt.cost.unwrap_or_default().0).bind(request.id.to_string());
    charge.execute(on).await.map(drop)
}
