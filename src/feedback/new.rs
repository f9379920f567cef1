//! Feedback as it arrives: of what it is, under which metric, and whose it is.

use std::str::FromStr;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;

use super::error::Error;
use super::value::Value;
use crate::types::{RequestId, Timestamp};

/// The longest session that is read, and how much of it the ledger stores, in bytes.
const LONGEST_SESSION: usize = 4_096;
const STORED_SESSION: usize = 256;

/// A metric's name: `a-z0-9_.-`, 1 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Metric(Arc<str>);

impl Metric {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Metric {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        if name.is_empty() || name.len() > 64 || !name.bytes().all(fits) {
            return Err(Error::field("metric", "must be a name of 1 to 64 of a-z, 0-9, _, . and -, such as resolved"));
        }
        Ok(Self(name.into()))
    }
}

/// What feedback is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// One request.
    Request(RequestId),
    /// A session, as the header `x-fulcrum-session` named it.
    Session(Arc<str>),
}

/// The body of a request that reports feedback.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// The request that it is of.
    request_id: Option<String>,
    /// The session that it is of, in place of a request.
    session_id: Option<String>,
    /// The metric's name.
    metric: Option<String>,
    /// The kind of the value.
    kind: Option<String>,
    /// The value.
    #[serde(default)]
    value: Json,
}

/// Feedback to store.
#[derive(Clone, Debug, PartialEq)]
pub struct NewFeedback {
    /// What it is of.
    pub subject: Subject,
    /// The metric's name.
    pub metric: Metric,
    /// The value.
    pub value: Value,
    /// The project whose requests it may be of; `None` is any, for an admin.
    pub project: Option<Arc<str>>,
    /// The key that reports it.
    pub key_id: Arc<str>,
    /// When it came.
    pub at: Timestamp,
}

/// Who reports feedback.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The project whose requests it may be of; `None` is any, for an admin.
    pub project: Option<Arc<str>>,
    /// The key.
    pub key_id: Arc<str>,
}

impl Body {
    /// The feedback that `reporter` sends.
    ///
    /// # Errors
    /// [`Error::Field`] names what is missing or not understood; [`Error::NoSuchRequest`] where the id is none.
    pub fn read(&self, reporter: Reporter, at: Timestamp) -> Result<NewFeedback, Error> {
        let metric = self.metric.as_deref();
        let metric =
            metric.ok_or_else(|| Error::field("metric", "is missing: name what is measured, such as resolved"))?;
        let metric = metric.parse()?;
        let value = Value::parse(self.kind.as_deref(), &self.value)?;
        let Reporter { project, key_id } = reporter;
        Ok(NewFeedback { subject: self.subject()?, metric, value, project, key_id, at })
    }

    fn subject(&self) -> Result<Subject, Error> {
        match (self.request_id.as_deref(), self.session_id.as_deref()) {
            (Some(id), None) => {
                let id = id.parse().map_err(|_| Error::NoSuchRequest(id.chars().take(80).collect()))?;
                Ok(Subject::Request(id))
            }
            (None, Some(session)) if (1..=LONGEST_SESSION).contains(&session.len()) => {
                Ok(Subject::Session(session[..session.floor_char_boundary(STORED_SESSION)].into()))
            }
            (None, Some(_)) => Err(Error::field("session_id", format!("must have 1 to {LONGEST_SESSION} bytes"))),
            (Some(_), Some(_)) => Err(Error::field("session_id", "stands beside `request_id`: name one of them")),
            (None, None) => Err(Error::field(
                "request_id",
                "is missing: name a request by its x-fulcrum-request-id, or a session by `session_id`",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Json) -> Result<NewFeedback, Error> {
        let body: Body = serde_json::from_value(body).unwrap();
        body.read(Reporter { project: None, key_id: "k".into() }, Timestamp(1))
    }

    #[test]
    fn feedback_is_of_one_request_or_one_session() {
        let id = RequestId::new();
        let of = |body: Json| read(body).unwrap().subject;
        assert_eq!(of(json!({"request_id": id, "metric": "ok", "value": true})), Subject::Request(id));
        assert_eq!(of(json!({"session_id": "s", "metric": "ok", "value": true})), Subject::Session("s".into()));
        let long = "é".repeat(200);
        let stored = Subject::Session("é".repeat(128).into());
        assert_eq!(of(json!({"session_id": long, "metric": "ok", "value": true})), stored);
        for (body, field) in [
            (json!({"metric": "ok", "value": true}), "request_id"),
            (json!({"request_id": id, "session_id": "s", "metric": "ok", "value": true}), "session_id"),
            (json!({"session_id": "", "metric": "ok", "value": true}), "session_id"),
            (json!({"session_id": "s".repeat(5_000), "metric": "ok", "value": true}), "session_id"),
            (json!({"request_id": id, "value": true}), "metric"),
            (json!({"request_id": id, "metric": "ok"}), "value"),
            (json!({"request_id": id, "metric": "ok", "value": 1, "kind": "bool"}), "kind"),
        ] {
            let error = read(body).unwrap_err();
            assert!(matches!(error, Error::Field { field: named, .. } if named == field), "{field}: {error}");
        }
        let error = read(json!({"request_id": "nothing", "metric": "ok", "value": true})).unwrap_err();
        assert!(error.is_unknown(), "{error}");
    }

    #[test]
    fn a_metric_has_a_plain_name() {
        for name in ["resolved", "a", "csat.2_x-1", &"m".repeat(64)] {
            assert!(name.parse::<Metric>().is_ok(), "{name}");
        }
        for name in ["", "Resolved", "a b", "é", "a,b", "a'b", &"m".repeat(65)] {
            assert!(name.parse::<Metric>().is_err(), "{name}");
        }
    }
}
