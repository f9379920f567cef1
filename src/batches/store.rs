//! The rows of files and batches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::batch::{Batch, BatchError, Counts, Times};
use super::closed::Closed;
use super::file::{File, Purpose};
use super::handover::{Awaited, HandedLine, Handover, Stage};
use super::scope::{Part, Scope};
use super::status::Status;
use crate::chat::Usage;
use crate::db::{Db, Error, Executor, Row, assembled, query};
use crate::types::Timestamp;

/// A line to remember.
#[derive(Clone, Debug)]
pub struct NewLine {
    /// The line's number, from 1.
    pub n: u64,
    /// The owner's name for the line.
    pub custom_id: String,
    /// Where the line begins in its file.
    pub start: u64,
    /// The line's length in bytes.
    pub length: u64,
}

/// A batch that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveBatch {
    /// The batch's id.
    pub id: Arc<str>,
    /// The project that owns it.
    pub project: Arc<str>,
    /// The key that made it.
    pub key_id: Arc<str>,
    /// Whether its file is still to be read.
    pub validating: bool,
}

/// A line without a result.
pub type Pending = NewLine;

/// The result of a line.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The line's number.
    pub n: u64,
    /// Whether the answer is a 2xx.
    pub good: bool,
    /// The line of the result file.
    pub content: Bytes,
    /// The tokens of the answer.
    pub usage: Usage,
}

/// How the database holds a count.
fn count(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(row: &Row, column: &str) -> Result<u64, Error> {
    Ok(u64::try_from(row.get::<i64>(column)?).unwrap_or(0))
}

fn time(row: &Row, column: &str) -> Result<Option<Timestamp>, Error> {
    Ok(row.get::<Option<i64>>(column)?.map(Timestamp))
}

/// The topic of every change of files and batches.
const TOPIC: &str = "batches";

pub(super) async fn add_file(db: &Db, file: &File) -> Result<(), Error> {
    let insert = "insert into files (id, project, key_id, purpose, filename, bytes, created_at, expires_at, complete) \
                  values ($1, $2, $3, $4, $5, 0, $6, $7, 0)";
    query(insert)
        .bind(&*file.id)
        .bind(&*file.project)
        .bind(&*file.key_id)
        .bind(file.purpose.text())
        .bind(&*file.filename)
        .bind(file.created_at.0)
        .bind(file.expires_at.map(|at| at.0))
        .execute(db)
        .await?;
    Ok(())
}

pub(super) async fn add_chunk(db: impl Into<Executor<'_>>, file: &str, n: u64, content: &[u8]) -> Result<(), Error> {
    let insert = "insert into file_chunks (file_id, n, content) values ($1, $2, $3)";
    query(insert).bind(file).bind(count(n)).bind(content).execute(db).await?;
    Ok(())
}

/// Adds a chunk to a caller's file and counts it among the bytes of the project, unless these grow over `most`. Returns
/// whether the chunk was added.
pub(super) async fn add_counted_chunk(db: &Db, file: &File, chunk: (u64, &[u8]), most: u64) -> Result<bool, Error> {
    let (n, content) = chunk;
    let mut change = db.begin(TOPIC).await?;
    let update = "update files set bytes = bytes + $2 where id = $1";
    query(update).bind(&*file.id).bind(count(content.len() as u64)).execute(&mut change).await?;
    if bytes_of(&mut change, &file.project).await? > most {
        return Ok(false);
    }
    add_chunk(&mut change, &file.id, n, content).await?;
    change.commit().await?;
    Ok(true)
}

pub(super) async fn complete_file(db: &Db, file: &File) -> Result<(), Error> {
    let update = "update files set complete = 1, bytes = $2, expires_at = $3 where id = $1";
    let expires = file.expires_at.map(|at| at.0);
    query(update).bind(&*file.id).bind(count(file.bytes)).bind(expires).execute(db).await?;
    Ok(())
}

/// Bytes of a project's files, with what callers have sent so far of those that are not complete.
pub(super) async fn bytes_of(db: impl Into<Executor<'_>>, project: &str) -> Result<u64, Error> {
    let select = "select cast(coalesce(sum(bytes), 0) as bigint) as bytes from files where project = $1";
    let row = query(select).bind(project).fetch_one(db).await?;
    number(&row, "bytes")
}

pub(super) async fn file(db: &Db, id: &str) -> Result<Option<File>, Error> {
    let select = "select id, project, key_id, purpose, filename, bytes, created_at, expires_at from files \
                  where id = $1 and complete = 1";
    let row = query(select).bind(id).fetch_optional(db).await?;
    row.as_ref().map(read_file).transpose()
}

fn read_file(row: &Row) -> Result<File, Error> {
    let purpose: String = row.get("purpose")?;
    Ok(File {
        id: row.get::<String>("id")?.into(),
        project: row.get::<String>("project")?.into(),
        key_id: row.get::<String>("key_id")?.into(),
        purpose: Purpose::of(&purpose).ok_or_else(|| Error::unreadable("purpose"))?,
        filename: row.get("filename")?,
        bytes: number(row, "bytes")?,
        created_at: Timestamp(row.get("created_at")?),
        expires_at: time(row, "expires_at")?,
    })
}

pub(super) async fn files(
    db: &Db,
    scope: Scope<'_>,
    purpose: Option<&str>,
    part: Part<'_>,
    now: Timestamp,
) -> Result<Vec<File>, Error> {
    let descending = "select id, project, key_id, purpose, filename, bytes, created_at, expires_at from files \
                      where ($1 is null or project = $1) and ($2 is null or purpose = $2) and ($3 is null or id < $3) \
                      and complete = 1 and (expires_at is null or expires_at > $4) order by id desc limit $5";
    let ascending = "select id, project, key_id, purpose, filename, bytes, created_at, expires_at from files \
                     where ($1 is null or project = $1) and ($2 is null or purpose = $2) and ($3 is null or id > $3) \
                     and complete = 1 and (expires_at is null or expires_at > $4) order by id limit $5";
    let rows = query(if part.ascending { ascending } else { descending })
        .bind(scope.project())
        .bind(purpose)
        .bind(part.after)
        .bind(now.0)
        .bind(i64::from(part.limit))
        .fetch_all(db)
        .await?;
    rows.iter().map(read_file).collect()
}

pub(super) async fn chunk(db: &Db, file: &str, n: u64) -> Result<Option<Bytes>, Error> {
    let select = "select content from file_chunks where file_id = $1 and n = $2";
    let row = query(select).bind(file).bind(count(n)).fetch_optional(db).await?;
    Ok(row.map(|row| row.get::<Vec<u8>>(0)).transpose()?.map(Bytes::from))
}

/// A batch that has not ended and reads the file.
pub(super) async fn reader_of(db: &Db, file: &str) -> Result<Option<String>, Error> {
    let select = "select id from batches where input_file_id = $1 \
                  and status in ('validating', 'in_progress', 'finalizing', 'cancelling') limit 1";
    let row = query(select).bind(file).fetch_optional(db).await?;
    row.map(|row| row.get(0)).transpose()
}

/// Nobody sees the file from now on.
pub(super) async fn hide_file(db: &Db, id: &str) -> Result<(), Error> {
    query("update files set complete = 0 where id = $1").bind(id).execute(db).await?;
    Ok(())
}

pub(super) async fn delete_chunks(db: &Db, file: &str, limit: i64) -> Result<u64, Error> {
    let delete = "delete from file_chunks where file_id = $1 and n in \
                  (select n from file_chunks where file_id = $1 order by n limit $2)";
    query(delete).bind(file).bind(limit).execute(db).await
}

pub(super) async fn delete_file(db: &Db, id: &str) -> Result<(), Error> {
    query("delete from files where id = $1").bind(id).execute(db).await?;
    Ok(())
}

/// Files that are half written or over, but for those that a batch still reads.
pub(super) async fn purgeable(db: &Db, now: Timestamp) -> Result<Vec<String>, Error> {
    let select = "select id from files where (complete = 0 or expires_at <= $1) and not exists \
                  (select 1 from batch_handovers where content_id = files.id) and not exists \
                  (select 1 from batches where input_file_id = files.id \
                  and status in ('validating', 'in_progress', 'finalizing', 'cancelling')) limit 100";
    let rows = query(select).bind(now.0).fetch_all(db).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Hides a file that is still half written or has expired; returns whether there was such a file.
pub(super) async fn claim_purgeable(db: &Db, id: &str, now: Timestamp) -> Result<bool, Error> {
    let update = "update files set complete = 0 where id = $1 and (complete = 0 or expires_at <= $2)";
    let claimed = query(update).bind(id).bind(now.0).execute(db).await?;
    Ok(claimed > 0)
}

pub(super) async fn add_batch(db: &Db, batch: &Batch) -> Result<(), Error> {
    let insert = "insert into batches (id, project, key_id, endpoint, input_file_id, output_expires_after, metadata, \
                  status, total, completed, failed, input_tokens, cached_input_tokens, output_tokens, reasoning_tokens, \
                  created_at, expires_at) values ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, 0, 0, 0, 0, $9, $10)";
    let metadata = batch.metadata.as_ref().map(serde_json::to_string).transpose();
    query(insert)
        .bind(&*batch.id)
        .bind(&*batch.project)
        .bind(&*batch.key_id)
        .bind(&*batch.endpoint)
        .bind(&*batch.input_file_id)
        .bind(batch.output_expires_after.map(|life| count(life.as_secs())))
        .bind(metadata?)
        .bind(batch.status.text())
        .bind(batch.created_at.0)
        .bind(batch.expires_at.0)
        .execute(db)
        .await?;
    Ok(())
}

const BATCH: &str = "id, project, key_id, endpoint, input_file_id, output_file_id, error_file_id, output_expires_after, \
                     metadata, status, outcome, errors, total, completed, failed, input_tokens, cached_input_tokens, \
                     output_tokens, reasoning_tokens, created_at, expires_at, in_progress_at, finalizing_at, \
                     completed_at, failed_at, expired_at, cancelling_at, cancelled_at";

pub(super) async fn batch(db: &Db, id: &str) -> Result<Option<Batch>, Error> {
    let select = format!("select {BATCH} from batches where id = $1");
    let row = assembled(select).bind(id).fetch_optional(db).await?;
    row.as_ref().map(read_batch).transpose()
}

pub(super) async fn batches(db: &Db, scope: Scope<'_>, part: Part<'_>) -> Result<Vec<Batch>, Error> {
    let select = format!(
        "select {BATCH} from batches where ($1 is null or project = $1) and ($2 is null or id < $2) \
         order by id desc limit $3"
    );
    let statement = assembled(select).bind(scope.project()).bind(part.after);
    let rows = statement.bind(i64::from(part.limit)).fetch_all(db).await?;
    rows.iter().map(read_batch).collect()
}

fn read_batch(row: &Row) -> Result<Batch, Error> {
    let status: String = row.get("status")?;
    let outcome: Option<String> = row.get("outcome")?;
    let (metadata, errors): (Option<String>, Option<String>) = (row.get("metadata")?, row.get("errors")?);
    let json = |column: &'static str| move |_| Error::unreadable(column);
    Ok(Batch {
        id: row.get::<String>("id")?.into(),
        project: row.get::<String>("project")?.into(),
        key_id: row.get::<String>("key_id")?.into(),
        endpoint: row.get("endpoint")?,
        input_file_id: row.get("input_file_id")?,
        output_file_id: row.get("output_file_id")?,
        error_file_id: row.get("error_file_id")?,
        output_expires_after: row
            .get::<Option<i64>>("output_expires_after")?
            .and_then(|seconds| u64::try_from(seconds).ok().map(Duration::from_secs)),
        metadata: metadata.map(|text| serde_json::from_str(&text)).transpose().map_err(json("metadata"))?,
        status: Status::of(&status).ok_or_else(|| Error::unreadable("status"))?,
        outcome: outcome.and_then(|text| Status::of(&text)),
        errors: errors.map(|text| serde_json::from_str(&text)).transpose().map_err(json("errors"))?.unwrap_or_default(),
        counts: Counts {
            total: number(row, "total")?,
            completed: number(row, "completed")?,
            failed: number(row, "failed")?,
        },
        usage: Usage {
            input: number(row, "input_tokens")?,
            cached_input: number(row, "cached_input_tokens")?,
            output: number(row, "output_tokens")?,
            reasoning: number(row, "reasoning_tokens")?,
            ..Usage::default()
        },
        created_at: Timestamp(row.get("created_at")?),
        expires_at: Timestamp(row.get("expires_at")?),
        times: Times {
            in_progress: time(row, "in_progress_at")?,
            finalizing: time(row, "finalizing_at")?,
            completed: time(row, "completed_at")?,
            failed: time(row, "failed_at")?,
            expired: time(row, "expired_at")?,
            cancelling: time(row, "cancelling_at")?,
            cancelled: time(row, "cancelled_at")?,
        },
    })
}

pub(super) async fn cancel(db: &Db, id: &str, now: Timestamp) -> Result<(), Error> {
    let update = "update batches set status = 'cancelling', cancelling_at = $2 \
                  where id = $1 and status in ('validating', 'in_progress')";
    query(update).bind(id).bind(now.0).execute(db).await?;
    Ok(())
}

pub(super) async fn active(db: &Db) -> Result<Vec<ActiveBatch>, Error> {
    let select = "select id, project, key_id, status, \
                  row_number() over (partition by project, key_id order by id) as place from batches \
                  where status in ('validating', 'in_progress', 'finalizing', 'cancelling') order by place, id limit 1000";
    let rows = query(select).fetch_all(db).await?;
    let read = |row: &Row| -> Result<ActiveBatch, Error> {
        Ok(ActiveBatch {
            id: row.get::<String>("id")?.into(),
            project: row.get::<String>("project")?.into(),
            key_id: row.get::<String>("key_id")?.into(),
            validating: row.get::<String>("status")? == Status::Validating.text(),
        })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn add_lines(db: &Db, batch: &str, lines: &[NewLine]) -> Result<Vec<u64>, Error> {
    let insert = "insert into batch_lines (batch_id, n, custom_id, start, length) values ($1, $2, $3, $4, $5) \
                  on conflict (batch_id, custom_id) do nothing";
    let mut double = Vec::new();
    let mut change = db.begin(TOPIC).await?;
    for line in lines {
        let statement = query(insert).bind(batch).bind(count(line.n)).bind(&*line.custom_id);
        let added = statement.bind(count(line.start)).bind(count(line.length)).execute(&mut change).await?;
        if added == 0 {
            double.push(line.n);
        }
    }
    change.commit().await?;
    Ok(double)
}

/// Lines without a result; `here` leaves out those that were handed over.
pub(super) async fn pending(
    db: &Db,
    batch: &str,
    (after, limit): (u64, u32),
    here: bool,
) -> Result<Vec<Pending>, Error> {
    let select = "select n, custom_id, start, length from batch_lines where batch_id = $1 and n > $2 \
                  and state is null and ($4 = 0 or handover is null) order by n limit $3";
    let statement = query(select).bind(batch).bind(count(after)).bind(i64::from(limit)).bind(i64::from(here));
    let rows = statement.fetch_all(db).await?;
    let read = |row: &Row| -> Result<Pending, Error> {
        Ok(Pending {
            n: number(row, "n")?,
            custom_id: row.get("custom_id")?,
            start: number(row, "start")?,
            length: number(row, "length")?,
        })
    };
    rows.iter().map(read).collect()
}

/// How many lines that were handed over are read at once.
const AWAITED: i64 = 200;

pub(super) async fn awaited(db: &Db, batch: &str, handover: u64, after: u64) -> Result<Vec<Awaited>, Error> {
    let select = "select n, custom_id, handed from batch_lines where batch_id = $1 and n > $2 and handover = $3 \
                  and state is null order by n limit $4";
    let statement = query(select).bind(batch).bind(count(after)).bind(count(handover)).bind(AWAITED);
    let rows = statement.fetch_all(db).await?;
    let read = |row: &Row| -> Result<Awaited, Error> {
        Ok(Awaited { n: number(row, "n")?, custom_id: row.get("custom_id")?, handed: row.get("handed")? })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn hand(db: &Db, batch: &str, lines: &[HandedLine]) -> Result<(), Error> {
    let update = "update batch_lines set handover = $3, handed = $4 where batch_id = $1 and n = $2";
    let mut change = db.begin(TOPIC).await?;
    for line in lines {
        let statement = query(update).bind(batch).bind(count(line.n)).bind(count(line.handover)).bind(&*line.handed);
        statement.execute(&mut change).await?;
    }
    change.commit().await
}

pub(super) async fn take_back(db: &Db, batch: &str, handover: Option<u64>, limit: i64) -> Result<u64, Error> {
    let update = "update batch_lines set handover = null, handed = null where batch_id = $1 and n in \
                  (select n from batch_lines where batch_id = $1 and state is null and handover is not null \
                  and ($2 is null or handover = $2) limit $3)";
    let statement = query(update).bind(batch).bind(handover.map(count)).bind(limit);
    statement.execute(db).await
}

pub(super) async fn handovers(db: &Db, batch: &str) -> Result<Vec<Handover>, Error> {
    let select = "select n, provider, path, content_id, lines, remote_file_id, remote_id, stage, submitted_at \
                  from batch_handovers where batch_id = $1 order by n";
    let rows = query(select).bind(batch).fetch_all(db).await?;
    let read = |row: &Row| -> Result<Handover, Error> {
        let stage: String = row.get("stage")?;
        Ok(Handover {
            n: number(row, "n")?,
            provider: row.get::<String>("provider")?.into(),
            path: row.get("path")?,
            content_id: row.get("content_id")?,
            lines: number(row, "lines")?,
            remote_file_id: row.get("remote_file_id")?,
            remote_id: row.get("remote_id")?,
            stage: Stage::of(&stage).ok_or_else(|| Error::unreadable("stage"))?,
            submitted_at: time(row, "submitted_at")?,
        })
    };
    rows.iter().map(read).collect()
}

pub(super) async fn keep_handovers(db: &Db, batch: &str, handovers: &[Handover]) -> Result<(), Error> {
    let upsert = "insert into batch_handovers (batch_id, n, provider, path, content_id, lines, remote_file_id, \
                  remote_id, stage, submitted_at) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
                  on conflict (batch_id, n) do update set remote_file_id = excluded.remote_file_id, \
                  remote_id = excluded.remote_id, stage = excluded.stage, submitted_at = excluded.submitted_at";
    let mut change = db.begin(TOPIC).await?;
    for one in handovers {
        query(upsert)
            .bind(batch)
            .bind(count(one.n))
            .bind(&*one.provider)
            .bind(&*one.path)
            .bind(&*one.content_id)
            .bind(count(one.lines))
            .bind(one.remote_file_id.as_deref())
            .bind(one.remote_id.as_deref())
            .bind(one.stage.text())
            .bind(one.submitted_at.map(|at| at.0))
            .execute(&mut change)
            .await?;
    }
    change.commit().await
}

pub(super) async fn delete_handovers(db: &Db, batch: &str) -> Result<(), Error> {
    query("delete from batch_handovers where batch_id = $1").bind(batch).execute(db).await?;
    Ok(())
}

pub(super) async fn store_result(db: &Db, batch: &str, stored: &Stored) -> Result<(), Error> {
    let mark = "update batch_lines set state = $3 where batch_id = $1 and n = $2 and state is null";
    let insert = "insert into batch_results (batch_id, n, content) values ($1, $2, $3) on conflict do nothing";
    let sum = "update batches set completed = completed + $2, failed = failed + $3, input_tokens = input_tokens + $4, \
               cached_input_tokens = cached_input_tokens + $5, output_tokens = output_tokens + $6, \
               reasoning_tokens = reasoning_tokens + $7 where id = $1";
    let mut change = db.begin(TOPIC).await?;
    let statement = query(mark).bind(batch).bind(count(stored.n)).bind(i64::from(stored.good));
    if statement.execute(&mut change).await? == 0 {
        return Ok(());
    }
    let content: &[u8] = &stored.content;
    query(insert).bind(batch).bind(count(stored.n)).bind(content).execute(&mut change).await?;
    let Usage { input, cached_input, output, reasoning, .. } = stored.usage;
    query(sum)
        .bind(batch)
        .bind(i64::from(stored.good))
        .bind(i64::from(!stored.good))
        .bind(count(input))
        .bind(count(cached_input))
        .bind(count(output))
        .bind(count(reasoning))
        .execute(&mut change)
        .await?;
    change.commit().await
}

pub(super) async fn next_result(
    db: &Db,
    batch: &str,
    answered: bool,
    after: u64,
) -> Result<Option<(u64, Bytes)>, Error> {
    let select = "select r.n as n, r.content as content from batch_lines l \
                  join batch_results r on r.batch_id = l.batch_id and r.n = l.n \
                  where l.batch_id = $1 and l.n > $2 and l.state = $3 order by l.n limit 1";
    let statement = query(select).bind(batch).bind(count(after)).bind(i64::from(answered));
    let row = statement.fetch_optional(db).await?;
    let read =
        |row: Row| -> Result<(u64, Bytes), Error> { Ok((number(&row, "n")?, row.get::<Vec<u8>>("content")?.into())) };
    row.map(read).transpose()
}

pub(super) async fn begin(db: &Db, id: &str, total: u64, now: Timestamp) -> Result<(), Error> {
    let update = "update batches set status = 'in_progress', in_progress_at = $2, total = $3 \
                  where id = $1 and status = 'validating'";
    query(update).bind(id).bind(now.0).bind(count(total)).execute(db).await?;
    Ok(())
}

fn errors_text(errors: &[BatchError]) -> Result<Option<String>, Error> {
    if errors.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(errors)?))
}

pub(super) async fn fail(db: &Db, id: &str, errors: &[BatchError], now: Timestamp) -> Result<(), Error> {
    let update = "update batches set status = 'failed', failed_at = $2, errors = $3 \
                  where id = $1 and status = 'validating'";
    query(update).bind(id).bind(now.0).bind(errors_text(errors)?).execute(db).await?;
    Ok(())
}

pub(super) async fn finalize(
    db: &Db,
    id: &str,
    outcome: Status,
    errors: &[BatchError],
    now: Timestamp,
) -> Result<(), Error> {
    let update = "update batches set status = 'finalizing', finalizing_at = $2, outcome = $3, errors = $4 \
                  where id = $1 and status in ('validating', 'in_progress')";
    let statement = query(update).bind(id).bind(now.0).bind(outcome.text()).bind(errors_text(errors)?);
    statement.execute(db).await?;
    Ok(())
}

pub(super) async fn end(
    db: &Db,
    batch: &Batch,
    outcome: Status,
    [output, error]: &[Option<Closed>; 2],
    now: Timestamp,
) -> Result<(), Error> {
    let complete = "update files set complete = 1, bytes = $2 where id = $1";
    // Lines that never ran count as failed: they stand in the error file.
    let update = "update batches set status = $2, output_file_id = $3, error_file_id = $4, failed = total - completed, \
                  completed_at = case when $2 = 'completed' then $5 end, failed_at = case when $2 = 'failed' then $5 end, \
                  expired_at = case when $2 = 'expired' then $5 end, \
                  cancelled_at = case when $2 = 'cancelled' then $5 end where id = $1";
    let mut change = db.begin(TOPIC).await?;
    for file in [output, error].into_iter().flatten() {
        query(complete).bind(&*file.id).bind(count(file.bytes)).execute(&mut change).await?;
    }
    query(update)
        .bind(&*batch.id)
        .bind(outcome.text())
        .bind(output.as_ref().map(|file| &*file.id))
        .bind(error.as_ref().map(|file| &*file.id))
        .bind(now.0)
        .execute(&mut change)
        .await?;
    change.commit().await
}

pub(super) async fn delete_results(db: &Db, batch: &str, limit: i64) -> Result<u64, Error> {
    let delete = "delete from batch_results where batch_id = $1 and n in \
                  (select n from batch_results where batch_id = $1 order by n limit $2)";
    query(delete).bind(batch).bind(limit).execute(db).await
}

pub(super) async fn delete_lines(db: &Db, batch: &str, limit: i64) -> Result<u64, Error> {
    let delete = "delete from batch_lines where batch_id = $1 and n in \
                  (select n from batch_lines where batch_id = $1 order by n limit $2)";
    query(delete).bind(batch).bind(limit).execute(db).await
}

pub(super) async fn ended_with_lines(db: &Db) -> Result<Vec<String>, Error> {
    let select = "select id from batches where status in ('failed', 'completed', 'expired', 'cancelled') \
                  and (exists (select 1 from batch_lines where batch_id = batches.id) \
                  or exists (select 1 from batch_results where batch_id = batches.id) \
                  or exists (select 1 from batch_handovers where batch_id = batches.id))";
    let rows = query(select).fetch_all(db).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

pub(super) async fn prune(db: &Db, before: Timestamp) -> Result<(), Error> {
    let delete = "delete from batches where created_at < $1 \
                  and status in ('failed', 'completed', 'expired', 'cancelled')";
    query(delete).bind(before.0).execute(db).await?;
    Ok(())
}
