//! The experiments' SQL.

use serde_json::Value;

use super::error::Error;
use super::experiment::{Author, Decision, Experiment, State};
use super::spec::Spec;
use crate::db::{self, Executor, Row, Tx, query};
use crate::types::{ArmName, ExperimentName, Share, Timestamp};

/// All experiments, the newest first.
pub(super) async fn all(on: impl Into<Executor<'_>>) -> Result<Vec<Experiment>, Error> {
    let sql = "select name, state, spec, salt, share, off, is_promoted, decided_at, decided_arm, reason, created_at, \
               started_at, counted_from, ended_at, key_id, author, is_admin from experiments \
               order by created_at desc, name";
    query(sql).fetch_all(on).await?.iter().map(experiment).collect()
}

/// The experiment of a name, where there is one.
pub(super) async fn one(tx: &mut Tx, name: &str) -> Result<Option<Experiment>, Error> {
    let sql = "select name, state, spec, salt, share, off, is_promoted, decided_at, decided_arm, reason, created_at, \
               started_at, counted_from, ended_at, key_id, author, is_admin from experiments where name = $1";
    query(sql).bind(name).fetch_optional(tx).await?.as_ref().map(experiment).transpose()
}

fn experiment(row: &Row) -> Result<Experiment, Error> {
    let name: &str = row.get("name")?;
    let damaged = |message: &str| Error::Damaged { name: name.to_owned(), message: message.to_owned() };
    let spec: Value = serde_json::from_str(row.get("spec")?).map_err(|_| damaged("spec is no JSON"))?;
    let spec = Spec::from_json(&spec)
        .map_err(|mistakes| damaged(&mistakes.first().map_or_else(String::new, ToString::to_string)))?;
    let state: &str = row.get("state")?;
    let state =
        State::ALL.into_iter().find(|known| known.text() == state).ok_or_else(|| damaged("state is unknown"))?;
    let off: Vec<ArmName> = serde_json::from_str(row.get("off")?).map_err(|_| damaged("off is no list of arms"))?;
    let time = |column: &str| Ok::<_, db::Error>(row.get::<Option<i64>>(column)?.map(Timestamp));
    let arm = row.get::<Option<&str>>("decided_arm")?.and_then(|arm| arm.parse().ok());
    let reason: String = row.get("reason")?;
    Ok(Experiment {
        spec,
        state,
        salt: row.get("salt")?,
        share: Share::of(millionths(row.get("share")?)).unwrap_or_default(),
        off,
        is_promoted: row.get("is_promoted")?,
        decision: time("decided_at")?.map(|at| Decision { at, arm, reason }),
        created_at: Timestamp(row.get("created_at")?),
        started_at: time("started_at")?,
        counted_from: time("counted_from")?,
        ended_at: time("ended_at")?,
        author: Author { key_id: row.get("key_id")?, name: row.get("author")?, admin: row.get("is_admin")? },
    })
}

#[expect(clippy::cast_precision_loss, reason = "at most a million")]
fn millionths(share: i64) -> f64 {
    share as f64 / 1_000_000.0
}

#[expect(clippy::cast_possible_truncation, reason = "at most a million")]
fn in_millionths(share: Share) -> i64 {
    (share.number() * 1_000_000.0).round() as i64
}

/// Adds an experiment that was made just now.
pub(super) async fn add(tx: &mut Tx, new: &Experiment) -> Result<(), Error> {
    let sql = "insert into experiments (name, state, spec, salt, share, off, is_promoted, reason, created_at, key_id, \
               author, is_admin) values ($1, $2, $3, $4, $5, '[]', $6, '', $7, $8, $9, $10)";
    let insert = query(sql)
        .bind(new.spec.name.as_str())
        .bind(new.state.text())
        .bind(new.spec.to_json().to_string())
        .bind(&*new.salt)
        .bind(in_millionths(new.share))
        .bind(false)
        .bind(new.created_at.0)
        .bind(&*new.author.key_id)
        .bind(&*new.author.name)
        .bind(new.author.admin);
    insert.execute(tx).await?;
    Ok(())
}

/// Writes where an experiment stands, if it still is in the state `was`; `false` where another change came before.
pub(super) async fn set(tx: &mut Tx, experiment: &Experiment, was: State) -> Result<bool, Error> {
    let sql = "update experiments set state = $3, share = $4, off = $5, is_promoted = $6, decided_at = $7, \
               decided_arm = $8, reason = $9, started_at = $10, counted_from = $11, ended_at = $12, key_id = $13, \
               author = $14, is_admin = $15 where name = $1 and state = $2";
    let decision = experiment.decision.as_ref();
    let time = |at: Option<Timestamp>| at.map(|at| at.0);
    let update = query(sql)
        .bind(experiment.spec.name.as_str())
        .bind(was.text())
        .bind(experiment.state.text())
        .bind(in_millionths(experiment.share))
        .bind(serde_json::to_string(&experiment.off).map_err(db::Error::from)?)
        .bind(experiment.is_promoted)
        .bind(time(decision.map(|decision| decision.at)))
        .bind(decision.and_then(|decision| decision.arm.as_ref()).map(ArmName::as_str))
        .bind(decision.map_or("", |decision| &*decision.reason))
        .bind(time(experiment.started_at))
        .bind(time(experiment.counted_from))
        .bind(time(experiment.ended_at))
        .bind(&*experiment.author.key_id)
        .bind(&*experiment.author.name)
        .bind(experiment.author.admin);
    Ok(update.execute(tx).await? == 1)
}

/// The name of another experiment that assigns arms for the same label of the same prompt.
pub(super) fn rival<'a>(all: &'a [Experiment], own: &Experiment) -> Option<&'a ExperimentName> {
    let is_rival = |other: &&Experiment| {
        other.assigns()
            && other.spec.name != own.spec.name
            && other.spec.prompt == own.spec.prompt
            && other.spec.label == own.spec.label
    };
    all.iter().find(is_rival).map(|other| &other.spec.name)
}
