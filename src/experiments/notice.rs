//! Messages about decisions that are still to be sent: written with the decision, so that none is lost, and sent until one arrives.

use std::time::Duration;

use serde_json::json;

use super::error::Error;
use super::experiment::Experiment;
use crate::db::{Db, Row, Tx, query};
use crate::types::Timestamp;

/// How often a message is tried; then it is given up.
const MOST_TRIES: u32 = 14;

/// How long the second try waits for after the first; each later one waits twice as long as the one before.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The most messages that are sent at once.
const MOST: i64 = 20;

/// A message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its id: a message may arrive twice, with the same one.
    pub id: String,
    /// What it says, JSON.
    pub body: String,
    /// How often it was tried.
    pub tries: u32,
}

/// What a message says of an experiment that was decided.
pub(super) fn body(experiment: &Experiment, id: &str) -> String {
    let decision = experiment.decision.as_ref();
    json!({
        "id": id, "type": "experiment.decided", "experiment": experiment.spec.name, "prompt": experiment.spec.prompt,
        "label": experiment.spec.label, "state": experiment.state.text(), "is_promoted": experiment.is_promoted,
        "arm": decision.and_then(|decision| decision.arm.as_ref()), "reason": decision.map(|decision| &decision.reason),
        "at": decision.map(|decision| decision.at),
    })
    .to_string()
}

/// Adds a message that may be sent from `now` on.
pub(super) async fn add(tx: &mut Tx, id: &str, body: &str, now: Timestamp) -> Result<(), Error> {
    let sql = "insert into experiment_notices (id, body, tries, next_at) values ($1, $2, 0, $3)";
    query(sql).bind(id).bind(body).bind(now.0).execute(tx).await?;
    Ok(())
}

/// The messages whose time has come, the oldest first.
pub(super) async fn due(db: &Db, now: Timestamp) -> Result<Vec<Notice>, Error> {
    let sql = "select id, body, tries from experiment_notices where next_at <= $1 order by next_at, id limit $2";
    let rows = query(sql).bind(now.0).bind(MOST).fetch_all(db).await?;
    let read = |row: &Row| {
        let tries = u32::try_from(row.get::<i64>("tries")?).unwrap_or(MOST_TRIES);
        Ok(Notice { id: row.get("id")?, body: row.get("body")?, tries })
    };
    rows.iter().map(read).collect()
}

/// Forgets a message that arrived, or was given up.
pub(super) async fn remove(db: &Db, id: &str) -> Result<(), Error> {
    query("delete from experiment_notices where id = $1").bind(id).execute(db).await?;
    Ok(())
}

/// Notes that a message did not arrive; `false` where it is given up.
pub(super) async fn failed(db: &Db, notice: &Notice, now: Timestamp) -> Result<bool, Error> {
    let tries = notice.tries + 1;
    if tries >= MOST_TRIES {
        remove(db, &notice.id).await?;
        return Ok(false);
    }
    let next = now.plus(FIRST_WAIT * 2u32.saturating_pow(tries - 1));
    let sql = "update experiment_notices set tries = $2, next_at = $3 where id = $1";
    query(sql).bind(&*notice.id).bind(i64::from(tries)).bind(next.0).execute(db).await?;
    Ok(true)
}
