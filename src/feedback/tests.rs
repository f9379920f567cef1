//! On both databases, feedback is stored once for each request or session and metric, and nobody's but its project's.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::db::query;
use crate::db::scratch::{Scratch, on_each};
use crate::types::{Timestamp, now};

/// The requests of a test: each has a row, as the ledger writes it.
struct Rows<'a> {
    scratch: &'a Scratch,
    feedback: Feedback,
}

impl<'a> Rows<'a> {
    async fn of(scratch: &'a Scratch) -> Self {
        for (id, project, purpose) in [(1, "default", None), (2, "search", None), (3, "default", Some("shadow"))] {
            let insert = "insert into kinds (id, hour, project, key_id, endpoint, requested_model, provider, model, prompt, \
                          version, stream, status, estimated, unpriced, purpose) \
                          values ($1, 0, $2, 'k', 'e', 'm', 'p', 'm', 'greet', 3, 0, 'ok', 0, 0, $3)";
            let insert = query(insert).bind(id).bind(project).bind(purpose);
            insert.execute(&scratch.db).await.unwrap();
        }
        Self { scratch, feedback: Feedback::open(scratch.db.clone()) }
    }

    /// A request of the `default` project (1), of `search` (2), or of the gateway's own (3).
    async fn request(&self, kind: i64, session: Option<&str>) -> RequestId {
        let id = RequestId::new();
        let insert = "insert into requests (id, kind, started_at, session, saved) values ($1, $2, 0, $3, 0)";
        let insert = query(insert).bind(id.to_string()).bind(kind).bind(session);
        insert.execute(&self.scratch.db).await.unwrap();
        id
    }

    async fn send(&self, subject: Subject, metric: &str, value: Value) -> Result<FeedbackId, Error> {
        self.feedback.store(new(subject, metric, value)).await
    }

    async fn list(&self, listing: Listing) -> Vec<Entry> {
        self.feedback.list(&listing).await.unwrap().rows
    }
}

fn new(subject: Subject, metric: &str, value: Value) -> NewFeedback {
    let project = Some("default".into());
    NewFeedback { subject, metric: metric.parse().unwrap(), value, project, key_id: "k".into(), at: now() }
}

fn words(text: &str) -> Value {
    Value::Comment(text.into())
}

#[tokio::test]
async fn the_same_metric_again_replaces_value_kind_and_time_and_the_id_stays() {
    on_each(async |scratch| {
        let rows = Rows::of(&scratch).await;
        let request = rows.request(1, None).await;
        let of = || Subject::Request(request);
        let id = rows.send(of(), "resolved", Value::Boolean(false)).await.unwrap();
        let first = rows.list(Listing::default()).await;
        assert_eq!(rows.send(of(), "resolved", Value::Float(0.1 + 0.2)).await.unwrap(), id);
        let other = rows.send(of(), "why", words("because \u{0} é")).await.unwrap();
        assert_ne!(other, id);
        let all = rows.list(Listing::default()).await;
        let seen: Vec<_> = all.iter().map(|row| (row.id, row.metric.as_str(), row.value.clone())).collect();
        let because = all[0].value.clone();
        assert_eq!(seen, [(other, "why", because.clone()), (id, "resolved", Value::Float(0.1 + 0.2))]);
        assert!(matches!(because, Value::Comment(text) if text.starts_with("because ") && text.ends_with(" é")));
        assert!(all[1].at > first[0].at);
        assert_eq!((&all[0].prompt, all[0].model.as_deref()), (&Some(("greet".to_owned(), 3)), Some("p/m")));
        assert_eq!((&*all[0].project, &*all[0].key_id, all[0].request), ("default", "k", request));
        rows.feedback.close().await;
    })
    .await;
}

#[tokio::test]
async fn feedback_is_of_requests_that_a_caller_of_the_project_made() {
    on_each(async |scratch| {
        let rows = Rows::of(&scratch).await;
        let (foreign, own) = (rows.request(2, Some("s")).await, rows.request(3, Some("o")).await);
        for subject in [
            Subject::Request(foreign),
            Subject::Request(own),
            Subject::Request(RequestId::new()),
            Subject::Session("s".into()),
            Subject::Session("o".into()),
            Subject::Session("nothing".into()),
        ] {
            let error = rows.send(subject.clone(), "ok", Value::Boolean(true)).await.unwrap_err();
            assert!(error.is_unknown(), "{subject:?}: {error}");
        }
        let of_admin = NewFeedback { project: None, ..new(Subject::Request(foreign), "ok", Value::Boolean(true)) };
        rows.feedback.store(of_admin).await.unwrap();
        let all = rows.list(Listing::default()).await;
        assert_eq!((all.len(), &*all[0].project), (1, "search"));
        rows.feedback.close().await;
    })
    .await;
}

#[tokio::test]
async fn what_is_of_a_session_counts_once_and_stands_at_its_last_request() {
    on_each(async |scratch| {
        let rows = Rows::of(&scratch).await;
        let (first, _foreign) = (rows.request(1, Some("s")).await, rows.request(2, Some("s")).await);
        let of = || Subject::Session("s".into());
        let id = rows.send(of(), "tone", Value::Float(0.5)).await.unwrap();
        assert_eq!(rows.list(Listing::default()).await[0].request, first);
        let last = rows.request(1, Some("s")).await;
        assert_eq!(rows.send(of(), "tone", Value::Float(0.75)).await.unwrap(), id);
        // Feedback on the request itself is another.
        let own = rows.send(Subject::Request(last), "tone", Value::Float(0.25)).await.unwrap();
        assert_ne!(own, id);
        let all = rows.list(Listing { session: Some("s".to_owned()), ..Listing::default() }).await;
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].request, &all[0].value, all[0].session.as_deref()), (last, &Value::Float(0.75), Some("s")));
        assert_eq!(rows.feedback.of(last, Some("default")).await.unwrap().len(), 2);
        assert_eq!(rows.feedback.of(last, Some("search")).await.unwrap(), []);
        rows.feedback.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn feedback_that_comes_at_once_is_written_together_and_the_last_of_equals_stands() {
    on_each(async |scratch| {
        let rows = Rows::of(&scratch).await;
        let mut requests = Vec::new();
        for _ in 0..30 {
            requests.push(rows.request(1, Some("s")).await);
        }
        let mut waiting = Vec::new();
        for n in 0..300 {
            let subject = match n % 10 {
                9 => Subject::Session("s".into()),
                _ => Subject::Request(requests[n % 30]),
            };
            let unknown = n % 50 == 0;
            let subject = if unknown { Subject::Request(RequestId::new()) } else { subject };
            let new = new(subject, if n % 2 == 0 { "a" } else { "b" }, words(&n.to_string()));
            let feedback = rows.feedback.clone();
            waiting.push(async move { (unknown, feedback.store(new).await) });
        }
        let stored = futures_util::future::join_all(waiting).await;
        assert!(stored.iter().all(|(unknown, stored)| *unknown == stored.is_err()));
        let all = rows.list(Listing { limit: Some(500), ..Listing::default() }).await;
        let mut ids: Vec<_> = stored.iter().filter_map(|(_, stored)| stored.as_ref().ok()).collect();
        ids.sort_by_key(ToString::to_string);
        ids.dedup();
        // Each of the requests under one metric, and the session under one.
        assert_eq!((all.len(), ids.len()), (28, 28));
        rows.feedback.close().await;
    })
    .await;
}

#[tokio::test]
async fn pages_hold_everything_once_the_latest_first() {
    on_each(async |scratch| {
        let rows = Rows::of(&scratch).await;
        let mut sent = Vec::new();
        for n in 0..23_i64 {
            let request = rows.request(1, None).await;
            let new = new(Subject::Request(request), if n % 2 == 0 { "even" } else { "odd" }, Value::Float(1.0));
            // Some have the same time.
            sent.push((n / 3, rows.feedback.store(NewFeedback { at: Timestamp(n / 3), ..new }).await.unwrap()));
        }
        sent.sort_by_key(|(at, id)| (std::cmp::Reverse(*at), std::cmp::Reverse(id.to_string())));
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = rows.feedback.list(&Listing { cursor, limit: Some(5), ..Listing::default() }).await.unwrap();
            seen.extend(page.rows.iter().map(|row| (row.at.0, row.id)));
            let Some(next) = page.next_cursor else { break };
            cursor = Some(next.to_string().parse().unwrap());
        }
        assert_eq!(seen, sent);
        let count = async |listing: Listing| rows.list(listing).await.len();
        let odd = Listing { metric: Some("odd".parse().unwrap()), ..Listing::default() };
        assert_eq!(count(odd).await, 11);
        assert_eq!(count(Listing { from: Some(Timestamp(2)), to: Some(Timestamp(4)), ..Listing::default() }).await, 6);
        for (listing, expected) in [
            (Listing { prompt: Some("greet".to_owned()), version: Some(3), ..Listing::default() }, 23),
            (Listing { prompt: Some("other".to_owned()), ..Listing::default() }, 0),
            (Listing { version: Some(4), ..Listing::default() }, 0),
            (Listing { kind: Some(Kind::Comment), ..Listing::default() }, 0),
            (Listing { project: Some("search".to_owned()), ..Listing::default() }, 0),
            (Listing { request: Some(RequestId::new()), ..Listing::default() }, 0),
        ] {
            assert_eq!(count(listing.clone()).await, expected, "{listing:?}");
        }
        for cursor in ["", "x", "1_x", "x_0", "1"] {
            assert!(cursor.parse::<Cursor>().is_err(), "{cursor}");
        }
        rows.feedback.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_database_that_takes_no_changes_is_an_error_that_passes() {
    let scratch = Scratch::sqlite().await;
    let rows = Rows::of(&scratch).await;
    let request = rows.request(1, None).await;
    query("drop table feedback").execute(&scratch.db).await.unwrap();
    let error = rows.send(Subject::Request(request), "ok", Value::Boolean(true)).await.unwrap_err();
    assert!(matches!(error, Error::Unwritten), "{error}");
    assert_eq!(crate::chat::Error::from(error).status(), 503);
    rows.feedback.close().await;
    let error = rows.send(Subject::Request(request), "ok", Value::Boolean(true)).await.unwrap_err();
    assert!(matches!(error, Error::Unwritten), "{error}");
}

#[test]
fn feedback_is_shown_with_what_it_is_of() {
    let id = FeedbackId::new();
    let entry = Entry {
        id,
        at: Timestamp(0),
        project: "default".to_owned(),
        key_id: "k".to_owned(),
        request: RequestId::default(),
        session: None,
        metric: "resolved".to_owned(),
        value: Value::Boolean(true),
        prompt: None,
        model: None,
    };
    let shown = entry.json();
    assert_eq!((&shown["id"], &shown["kind"], &shown["value"]), (&json!(id), &json!("boolean"), &json!(true)));
    let text: Arc<str> = "as it should be".into();
    let shown = Entry { value: Value::Demonstration(text), prompt: Some(("p".to_owned(), 2)), ..entry }.json();
    assert_eq!((&shown["value"], &shown["version"]), (&json!("as it should be"), &json!(2)));
}
