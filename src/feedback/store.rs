//! The SQL of feedback. Whose a request is stands in the ledger's view of requests.

use std::collections::HashMap;
use std::sync::Arc;

use super::id::FeedbackId;
use super::new::NewFeedback;
use crate::db::{self, Engine, Error, Tx, assembled};
use crate::types::RequestId;

/// Rows that one statement writes.
pub(super) const AT_ONCE: usize = 64;

/// Which feedback an equal one takes the place of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unique {
    /// That of the same request and metric.
    OfRequest,
    /// That of the same session and metric in a project.
    OfSession,
}

/// Feedback with the request that it stands at.
pub(super) struct Placed<'a> {
    pub(super) id: FeedbackId,
    pub(super) request: RequestId,
    pub(super) session: Option<&'a str>,
    pub(super) project: &'a str,
    pub(super) new: &'a NewFeedback,
}

/// The projects of those of these requests that a caller made.
pub(super) async fn projects(change: &mut Tx, ids: &[RequestId]) -> Result<HashMap<RequestId, Arc<str>>, Error> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let places: Vec<String> = (1..=ids.len()).map(|n| format!("${n}")).collect();
    let select = "select id, project from full_requests where purpose is null and id in";
    let select = assembled(format!("{select} ({})", places.join(", ")));
    let rows = ids.iter().fold(select, |select, id| select.bind(id.to_string())).fetch_all(change).await?;
    rows.iter().map(|row| Ok((request_of(row, "id")?, row.get::<&str>("project")?.into()))).collect()
}

/// The last request of a session, and its project; of one project's alone where that is named.
pub(super) async fn last_of(
    change: &mut Tx,
    session: &str,
    project: Option<&str>,
) -> Result<Option<(RequestId, String)>, Error> {
    let only = if project.is_some() { "and project = $2" } else { "" };
    let select = assembled(format!(
        "select id, project from full_requests where session = $1 and purpose is null {only} order by id desc limit 1"
    ));
    let select = project.into_iter().fold(select.bind(session), db::Query::bind);
    let row = select.fetch_optional(change).await?;
    row.map(|row| Ok((request_of(&row, "id")?, row.get("project")?))).transpose()
}

/// Stores feedback, each in the place of an earlier one; the ids by request and metric. No two of `all` are of the same.
pub(super) async fn put(
    (change, engine): (&mut Tx, Engine),
    unique: Unique,
    all: &[Placed<'_>],
) -> Result<HashMap<(RequestId, String), FeedbackId>, Error> {
    let of = match unique {
        Unique::OfRequest => "(request_id, metric) where session is null",
        Unique::OfSession => "(project, session, metric) where session is not null",
    };
    let row = |n: usize| {
        let places: Vec<String> = (n * 10 + 1..=n * 10 + 10).map(|place| format!("${place}")).collect();
        format!("({})", places.join(", "))
    };
    let values: Vec<String> = (0..all.len()).map(row).collect();
    let insert = assembled(format!(
        "insert into feedback (id, request_id, session, project, key_id, metric, kind, number, words, at) values {} \
         on conflict {of} do update set request_id = excluded.request_id, key_id = excluded.key_id, kind = excluded.kind, \
         number = excluded.number, words = excluded.words, at = excluded.at returning id, request_id, metric",
        values.join(", ")
    ));
    let insert = all.iter().fold(insert, |insert, Placed { id, request, session, project, new }| {
        let (number, words) = new.value.stored();
        let insert = insert.bind(id.to_string()).bind(request.to_string()).bind(*session).bind(*project);
        let insert = insert.bind(&*new.key_id).bind(new.metric.as_str()).bind(new.value.kind().text()).bind(number);
        insert.bind(words.map(|words| engine.storable(words).into_owned())).bind(new.at.0)
    });
    let rows = insert.fetch_all(change).await?;
    let stored = rows.iter().map(|row| {
        let id = row.get::<&str>("id")?.parse().map_err(|_| Error::unreadable("id"))?;
        Ok(((request_of(row, "request_id")?, row.get("metric")?), id))
    });
    stored.collect()
}

/// A request's id in a column.
pub(super) fn request_of(row: &db::Row, column: &'static str) -> Result<RequestId, Error> {
    row.get::<&str>(column)?.parse().map_err(|_| Error::unreadable(column))
}
