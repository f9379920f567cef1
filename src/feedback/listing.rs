//! Lists feedback, the latest first.

use std::fmt;
use std::str::FromStr;

use serde_json::{Value as Json, json};

use super::error::Error;
use super::id::FeedbackId;
use super::new::Metric;
use super::store::request_of;
use super::value::{Kind, Value};
use crate::db::{self, Db, Query, assembled};
use crate::types::{RequestId, Timestamp};

/// The rows of a page, where no number is asked for and at most.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 500;

/// Where a page ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    at: Timestamp,
    id: FeedbackId,
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let read = || {
            let (at, id) = text.split_once('_')?;
            Some(Self { at: Timestamp(at.parse().ok()?), id: id.parse().ok()? })
        };
        read().ok_or_else(|| Error::field("cursor", "must be the next_cursor of the page before"))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.at.0, self.id)
    }
}

/// Which feedback is listed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    /// Of this metric.
    pub metric: Option<Metric>,
    /// Of this kind.
    pub kind: Option<Kind>,
    /// Of requests of this prompt.
    pub prompt: Option<String>,
    /// Of this version of the prompt.
    pub version: Option<u32>,
    /// Of this request.
    pub request: Option<RequestId>,
    /// Of this session.
    pub session: Option<String>,
    /// Of this project.
    pub project: Option<String>,
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The first moment no more.
    pub to: Option<Timestamp>,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
    /// Rows of a page, at most 500.
    pub limit: Option<u32>,
}

/// One feedback with what it is of.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its id.
    pub id: FeedbackId,
    /// When its value came.
    pub at: Timestamp,
    /// Whose it is.
    pub project: String,
    /// The key that sent it.
    pub key_id: String,
    /// The request that it is of; of a session's, the last that the session had by then.
    pub request: RequestId,
    /// The session that it is of.
    pub session: Option<String>,
    /// The metric's name.
    pub metric: String,
    /// The value.
    pub value: Value,
    /// The prompt of the request, with its version.
    pub prompt: Option<(String, i64)>,
    /// `provider/model` that answered the request.
    pub model: Option<String>,
}

/// Some feedback.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The rows, the latest first.
    pub rows: Vec<Entry>,
    /// Where the next page begins; `None` on the last.
    pub next_cursor: Option<Cursor>,
}

/// A condition's value.
enum Bound {
    Text(String),
    Number(i64),
}

impl Listing {
    /// The conditions of this list, each with its value.
    fn conditions(&self, db: &Db) -> Vec<(&'static str, Bound)> {
        let text = |text: &String| Bound::Text(db.engine().storable(text).into_owned());
        let texts = [
            ("f.metric =", self.metric.as_ref().map(|metric| Bound::Text(metric.as_str().to_owned()))),
            ("f.kind =", self.kind.map(|kind| Bound::Text(kind.text().to_owned()))),
            ("r.prompt =", self.prompt.as_ref().map(text)),
            ("r.version =", self.version.map(|version| Bound::Number(version.into()))),
            ("f.request_id =", self.request.map(|id| Bound::Text(id.to_string()))),
            ("f.session =", self.session.as_ref().map(text)),
            ("f.project =", self.project.as_ref().map(text)),
            ("f.at >=", self.from.map(|time| Bound::Number(time.0))),
            ("f.at <", self.to.map(|time| Bound::Number(time.0))),
            ("f.at <=", self.cursor.map(|cursor| Bound::Number(cursor.at.0))),
        ];
        texts.into_iter().filter_map(|(condition, value)| Some((condition, value?))).collect()
    }
}

/// The feedback that a listing asks for, the latest first.
pub(super) async fn list(db: &Db, listing: &Listing) -> Result<Page, Error> {
    let limit = listing.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE) as usize;
    let mut conditions = listing.conditions(db);
    let mut sql = "select f.id, f.at, f.project, f.key_id, f.request_id, f.session, f.metric, f.kind, f.number, f.words, \
                   r.prompt, r.version, r.provider, r.model from feedback f join full_requests r on r.id = f.request_id \
                   where 1 = 1"
        .to_owned();
    for (n, (condition, _)) in conditions.iter().enumerate() {
        sql.push_str(&format!(" and {condition} ${}", n + 1));
    }
    if let Some(Cursor { at, id }) = listing.cursor {
        let n = conditions.len();
        sql.push_str(&format!(" and (f.at < ${} or f.id < ${})", n + 1, n + 2));
        conditions.extend([("", Bound::Number(at.0)), ("", Bound::Text(id.to_string()))]);
    }
    sql.push_str(&format!(" order by f.at desc, f.id desc limit {}", limit + 1));
    let select = conditions.into_iter().fold(assembled(sql), |select: Query<'_>, (_, value)| match value {
        Bound::Text(text) => select.bind(text),
        Bound::Number(number) => select.bind(number),
    });
    let found = select.fetch_all(db).await?;
    let mut rows = found.iter().map(read).collect::<Result<Vec<Entry>, _>>()?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next_cursor = rows.last().filter(|_| has_more).map(|row| Cursor { at: row.at, id: row.id });
    Ok(Page { rows, next_cursor })
}

fn read(row: &db::Row) -> Result<Entry, db::Error> {
    let kind = row.get::<&str>("kind")?.parse().map_err(|_| db::Error::unreadable("kind"))?;
    let value = Value::of(kind, row.get("number")?, row.get("words")?);
    let text = |column: &'static str| row.get::<Option<String>>(column);
    let model = match (text("provider")?, text("model")?) {
        (Some(provider), Some(model)) => Some(format!("{provider}/{model}")),
        (_, model) => model,
    };
    Ok(Entry {
        id: row.get::<&str>("id")?.parse().map_err(|_| db::Error::unreadable("id"))?,
        at: Timestamp(row.get("at")?),
        project: row.get("project")?,
        key_id: row.get("key_id")?,
        request: request_of(row, "request_id")?,
        session: text("session")?,
        metric: row.get("metric")?,
        value: value.ok_or_else(|| db::Error::unreadable("number"))?,
        prompt: text("prompt")?.zip(row.get::<Option<i64>>("version")?),
        model,
    })
}

impl Entry {
    /// The feedback as the API shows it.
    #[must_use]
    pub fn json(&self) -> Json {
        let (prompt, version) = self.prompt.clone().unzip();
        json!({
            "id": self.id, "at": self.at, "project": self.project, "key_id": self.key_id,
            "request_id": self.request, "session_id": self.session, "metric": self.metric,
            "kind": self.value.kind().text(), "value": self.value.json(),
            "prompt": prompt, "version": version, "model": self.model,
        })
    }
}
