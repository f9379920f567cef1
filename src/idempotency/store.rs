//! The records of idempotency keys.

use std::sync::Arc;

use super::asked::{Asked, Name};
use super::stored_answer::StoredAnswer;
use crate::db::{self, Db, Error, Tx, query};
use crate::types::{RequestId, Timestamp};

/// A record takes about so much beside its answer.
const AROUND: i64 = 256;

/// How many of the oldest answers go at once.
const SHED_AT_ONCE: i64 = 4;

/// A key's record.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) fingerprint: Vec<u8>,
    pub(super) request: RequestId,
    pub(super) answer: Answer,
}

/// The answer of a record's call.
#[derive(Debug)]
pub(super) enum Answer {
    /// The call still runs.
    Running,
    /// The answer was too large, or others took its room.
    Large,
    /// The answer was erased.
    Erased,
    /// The answer.
    Stored(StoredAnswer),
}

/// Several changes of records, undone unless committed.
pub(super) struct Change(Tx);

impl Change {
    pub(super) async fn begin(db: &Db) -> Result<Self, Error> {
        Ok(Self(db.begin("idempotency").await?))
    }

    pub(super) async fn commit(self) -> Result<(), Error> {
        self.0.commit().await
    }

    /// The record with this name that is younger than `oldest`.
    pub(super) async fn find(&mut self, name: Name, oldest: Timestamp) -> Result<Option<Row>, Error> {
        let select = "select fingerprint, request_id, state, model, simulated, kind, is_stream, body from idempotency \
                      where name = $1 and at >= $2";
        let row = query(select).bind(&name.0[..]).bind(oldest.0).fetch_optional(&mut self.0).await?;
        row.as_ref().map(read).transpose()
    }

    /// Notes a call that is about to be made, in the place of an older one.
    pub(super) async fn insert(&mut self, asked: &Asked) -> Result<(), Error> {
        let insert = "insert into idempotency (name, fingerprint, request_id, at, owner, state) \
                      values ($1, $2, $3, $4, $5, 'running') \
                      on conflict (name) do update set fingerprint = excluded.fingerprint, \
                      request_id = excluded.request_id, at = excluded.at, owner = excluded.owner, \
                      state = excluded.state, model = null, simulated = false, kind = null, is_stream = false, \
                      body = null";
        let insert = query(insert).bind(&asked.name.0[..]).bind(&asked.fingerprint[..]);
        let request = asked.request.text();
        let insert = insert.bind(request.as_str()).bind(asked.at.0).bind(asked.owner);
        insert.execute(&mut self.0).await?;
        Ok(())
    }

    /// Stores an answer; `None` where the answer is too large.
    pub(super) async fn store(&mut self, asked: &Asked, answer: Option<&StoredAnswer>) -> Result<(), Error> {
        let update = "update idempotency set state = $1, model = $2, kind = $3, is_stream = $4, body = $5, \
                      simulated = $6 where name = $7 and request_id = $8";
        let update = query(update).bind(if answer.is_some() { "kept" } else { "large" });
        let update = update.bind(answer.and_then(|answer| answer.model.as_deref()));
        let update = update.bind(answer.and_then(|answer| answer.kind.as_deref()));
        let update =
            update.bind(answer.is_some_and(|answer| answer.is_stream)).bind(answer.map(|answer| &answer.body[..]));
        let update = update.bind(answer.is_some_and(|answer| answer.simulated));
        update.bind(&asked.name.0[..]).bind(asked.request.text().as_str()).execute(&mut self.0).await?;
        Ok(())
    }

    /// Deletes the record of a call that has no answer.
    pub(super) async fn release(&mut self, asked: &Asked) -> Result<(), Error> {
        let delete = "delete from idempotency where name = $1 and request_id = $2 and state = 'running'";
        let request = asked.request.text();
        query(delete).bind(&asked.name.0[..]).bind(request.as_str()).execute(&mut self.0).await?;
        Ok(())
    }

    /// Erases the stored answers of some requests; their keys stay in use. Returns how many there were.
    pub(super) async fn erase(&mut self, requests: &[RequestId]) -> Result<u64, Error> {
        let mut erased = 0;
        for request in requests {
            let update =
                "update idempotency set state = 'erased', body = null where request_id = $1 and body is not null";
            erased += query(update).bind(request.text().as_str()).execute(&mut self.0).await?;
        }
        Ok(erased)
    }

    /// Deletes every older record.
    pub(super) async fn prune(&mut self, oldest: Timestamp) -> Result<(), Error> {
        query("delete from idempotency where at < $1").bind(oldest.0).execute(&mut self.0).await?;
        Ok(())
    }

    /// The bytes that all records take, about.
    pub(super) async fn size(&mut self) -> Result<u64, Error> {
        let select = "select cast(coalesce(sum(coalesce(length(body), 0) + $1), 0) as bigint) from idempotency";
        let size: i64 = query(select).bind(AROUND).fetch_one(&mut self.0).await?.get(0)?;
        Ok(u64::try_from(size).unwrap_or(0))
    }

    /// Makes room at the owner whose records take most: some of the oldest answers go, while their keys stay, so that no call is
    /// made twice; where no answers are left, the oldest keys go. Returns whether anything went.
    pub(super) async fn shed(&mut self) -> Result<bool, Error> {
        let largest = "select owner from idempotency where state <> 'running' group by owner \
                       order by sum(coalesce(length(body), 0) + $1) desc, owner limit 1";
        let Some(row) = query(largest).bind(AROUND).fetch_optional(&mut self.0).await? else { return Ok(false) };
        let owner: i64 = row.get(0)?;
        let empty = "update idempotency set state = 'large', model = null, kind = null, body = null where id in \
                     (select id from idempotency where owner = $1 and state = 'kept' order by at, id limit $2)";
        if query(empty).bind(owner).bind(SHED_AT_ONCE).execute(&mut self.0).await? > 0 {
            return Ok(true);
        }
        let delete = "delete from idempotency where id in \
                      (select id from idempotency where owner = $1 and state <> 'running' order by at, id limit $2)";
        Ok(query(delete).bind(owner).bind(SHED_AT_ONCE * 16).execute(&mut self.0).await? > 0)
    }
}

/// The bytes that a record of this answer takes, about.
pub(super) fn weight(answer: Option<&StoredAnswer>) -> u64 {
    AROUND.unsigned_abs() + answer.map_or(0, |answer| answer.body.len() as u64)
}

fn read(row: &db::Row) -> Result<Row, Error> {
    let request: RequestId = row.get::<String>("request_id")?.parse().unwrap_or_default();
    let answer = match row.get::<String>("state")?.as_str() {
        "running" => Answer::Running,
        "kept" => Answer::Stored(StoredAnswer {
            request,
            model: row.get::<Option<String>>("model")?.map(Arc::from),
            simulated: row.get("simulated")?,
            kind: row.get::<Option<String>>("kind")?.map(Arc::from),
            is_stream: row.get("is_stream")?,
            body: row.get::<Option<Vec<u8>>>("body")?.unwrap_or_default().into(),
        }),
        "erased" => Answer::Erased,
        _ => Answer::Large,
    };
    Ok(Row { fingerprint: row.get("fingerprint")?, request, answer })
}
