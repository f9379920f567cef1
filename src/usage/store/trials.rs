//! What the ledger has of an experiment: for each arm, samples of its metrics, one for each unit.

use super::field::SqlError;
use crate::db::{Db, Executor, Row, query};
use crate::types::Timestamp;
use crate::usage::error::Error;

/// Which requests count: those that an experiment gave an arm within a time.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The experiment.
    pub experiment: &'a str,
    /// From when on.
    pub from: Timestamp,
    /// Before when.
    pub until: Timestamp,
}

/// The number, the sum and the sum of squares of samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many.
    pub n: u64,
    /// Their sum.
    pub sum: f64,
    /// The sum of their squares.
    pub squares: f64,
}

/// What the ledger has of one arm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArmTotals {
    /// The arm.
    pub arm: String,
    /// How many units got it.
    pub units: u64,
    /// How many requests got it.
    pub requests: u64,
    /// The share of each unit's requests that ended with an error; of those that a crash cut off nothing is known.
    pub errors: Moments,
    /// What a request of each unit costs in dollars; of requests without a price nothing is known.
    pub cost: Moments,
}

/// What the ledger has of each arm that any request got.
///
/// # Errors
/// Where the database cannot be read.
pub async fn arm_totals(db: &Db, trial: Trial<'_>) -> Result<Vec<ArmTotals>, Error> {
    let sql = "select arm, count(*) as units, cast(sum(requests) as bigint) as requests, \
               count(failed) as error_n, sum(failed) as error_sum, sum(failed * failed) as error_squares, \
               count(cost) as cost_n, sum(cost) as cost_sum, sum(cost * cost) as cost_squares \
               from (select k.arm as arm, r.unit as unit, count(*) as requests, \
               avg(case k.status when 'error' then cast(1 as double precision) \
               when 'unknown' then null else cast(0 as double precision) end) as failed, \
               avg(cast(r.cost as double precision)) / 1000000000 as cost \
               from kinds k join requests r on r.kind = k.id \
               where k.experiment = $1 and k.purpose is null and r.unit is not null and r.started_at >= $2 and r.started_at < $3 \
               group by k.arm, r.unit) as of_units group by arm order by arm";
    let rows = query(sql).bind(trial.experiment).bind(trial.from.0).bind(trial.until.0).fetch_all(db).await?;
    let read = |row: &Row| {
        Ok(ArmTotals {
            arm: row.get("arm")?,
            units: count(row, "units")?,
            requests: count(row, "requests")?,
            errors: moments(row, ["error_n", "error_sum", "error_squares"])?,
            cost: moments(row, ["cost_n", "cost_sum", "cost_squares"])?,
        })
    };
    Ok(rows.iter().map(read).collect::<Result<_, SqlError>>()?)
}

/// The latency that 95 of 100 of an arm's answered requests stay below or reach, in microseconds; `None` without any.
///
/// # Errors
/// Where the database cannot be read.
pub async fn slow_latency(db: &Db, trial: Trial<'_>, arm: &str) -> Result<Option<i64>, Error> {
    let mut reading = db.snapshot().await?;
    let of_arm = "from kinds k join requests r on r.kind = k.id where k.experiment = $1 and k.arm = $4 \
                  and k.purpose is null and r.unit is not null and r.started_at >= $2 and r.started_at < $3 and k.status = 'ok'";
    let counted = crate::db::assembled(format!("select count(*) as n {of_arm}"));
    let row =
        counted.bind(trial.experiment).bind(trial.from.0).bind(trial.until.0).bind(arm).fetch_one(&mut reading).await?;
    let n: i64 = row.get("n").map_err(Error::from)?;
    let at = (n.saturating_sub(1)) * 95 / 100;
    let sorted = format!("select r.latency_us as latency {of_arm} order by r.latency_us limit 1 offset $5");
    let sorted =
        crate::db::assembled(sorted).bind(trial.experiment).bind(trial.from.0).bind(trial.until.0).bind(arm).bind(at);
    let row = sorted.fetch_optional(Executor::from(&mut reading)).await?;
    reading.commit().await?;
    Ok(row.map(|row| row.get::<Option<i64>>("latency")).transpose()?.flatten())
}

/// For each arm, the share of each unit's answered requests that took longer than `above` microseconds.
///
/// # Errors
/// Where the database cannot be read.
pub async fn slower_than(db: &Db, trial: Trial<'_>, above: i64) -> Result<Vec<(String, Moments)>, Error> {
    let sql = "select arm, count(*) as n, sum(slow) as total, sum(slow * slow) as squares \
               from (select k.arm as arm, r.unit as unit, \
               avg(case when r.latency_us > $4 then cast(1 as double precision) else cast(0 as double precision) end) as slow \
               from kinds k join requests r on r.kind = k.id where k.experiment = $1 and k.purpose is null \
               and r.unit is not null and r.started_at >= $2 and r.started_at < $3 and k.status = 'ok' group by k.arm, r.unit) as of_units \
               group by arm order by arm";
    let rows =
        query(sql).bind(trial.experiment).bind(trial.from.0).bind(trial.until.0).bind(above).fetch_all(db).await?;
    let read = |row: &Row| Ok((row.get("arm")?, moments(row, ["n", "total", "squares"])?));
    Ok(rows.iter().map(read).collect::<Result<_, SqlError>>()?)
}

/// For each arm, the mean of each unit's feedback of a metric that has numbers; whether all of it lies between 0 and 1.
///
/// # Errors
/// Where the database cannot be read.
pub async fn reported(db: &Db, trial: Trial<'_>, metric: &str) -> Result<(Vec<(String, Moments)>, bool), Error> {
    let sql = "select arm, count(*) as n, sum(mean) as total, sum(mean * mean) as squares, \
               min(least) as least, max(most) as most \
               from (select k.arm as arm, r.unit as unit, avg(f.number) as mean, min(f.number) as least, \
               max(f.number) as most from kinds k join requests r on r.kind = k.id \
               join feedback f on f.request_id = r.id and f.metric = $4 where k.experiment = $1 and k.purpose is null \
               and r.unit is not null and r.started_at >= $2 and r.started_at < $3 and f.number is not null \
               group by k.arm, r.unit) as of_units group by arm order by arm";
    let select = query(sql).bind(trial.experiment).bind(trial.from.0).bind(trial.until.0).bind(metric);
    let rows = select.fetch_all(db).await?;
    let read = |row: &Row| {
        let is_bounded = row.get::<f64>("least")? >= 0.0 && row.get::<f64>("most")? <= 1.0;
        Ok(((row.get("arm")?, moments(row, ["n", "total", "squares"])?), is_bounded))
    };
    let found: Vec<_> = rows.iter().map(read).collect::<Result<_, SqlError>>()?;
    let is_bounded = found.iter().all(|(_, is_bounded)| *is_bounded);
    Ok((found.into_iter().map(|(arm, _)| arm).collect(), is_bounded))
}

fn count(row: &Row, column: &str) -> Result<u64, SqlError> {
    Ok(u64::try_from(row.get::<i64>(column)?).unwrap_or(0))
}

fn moments(row: &Row, [n, sum, squares]: [&str; 3]) -> Result<Moments, SqlError> {
    let number = |column: &str| Ok::<_, SqlError>(row.get::<Option<f64>>(column)?.unwrap_or(0.0));
    Ok(Moments { n: count(row, n)?, sum: number(sum)?, squares: number(squares)? })
}
