//! On both databases, lists and reports have the requests that a filter asks for, page by page.

use super::pen::Pen;
use super::*;
use crate::db::scratch::on_each;

#[tokio::test]
async fn pages_hold_every_request_once_newest_first() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let mut ids = Vec::new();
        for n in 0..23u32 {
            let mut one = settlement(now());
            one.request.version = Some(n % 2);
            ids.push(one.request.id);
            pen.settle(&[one]).await;
        }
        ids.reverse();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = requests(db, &Listing { limit: Some(5), cursor, ..Listing::default() }).await.unwrap();
            seen.extend(page.rows.iter().map(|row| row.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, ids);
        let odd = Listing::parse([("version", "1"), ("model", "openai/gpt-4o-mini")], now()).unwrap();
        assert_eq!(requests(db, &odd).await.unwrap().rows.len(), 11);
        for (name, value) in [("cursor", "x"), ("limit", "0"), ("limit", "501"), ("x", "y")] {
            assert!(Listing::parse([(name, value)], now()).is_err(), "{name}={value}");
        }
        pen.close().await;
    })
    .await;
}

/// What makes a request one that a filter finds.
type Change = fn(&mut RequestRow);

/// A filter, and what the one request has that it finds.
const FILTERS: [(&str, &str, Change); 26] = [
    ("project", "pröject", |row| row.project = "pröject".into()),
    ("key", "k2", |row| row.key_id = "k2".into()),
    ("user", "Ada", |row| row.user = Some("Ada".into())),
    ("user", "ada", |row| row.user = Some("ada".into())),
    ("user", "ada ", |row| row.user = Some("ada ".into())),
    ("user", "a\u{0}b", |row| row.user = Some("a\u{0}b".into())),
    ("user", "%", |row| row.user = Some("%".into())),
    ("session", "s'; drop table requests --", |row| row.session = Some("s'; drop table requests --".into())),
    ("provider", "p2", |row| row.provider = Some("p2".into())),
    ("model", "m2", |row| row.model = Some("m2".into())),
    ("model", "openai/m3", |row| row.model = Some("m3".into())),
    ("route", "r", |row| row.route = Some("r".into())),
    ("prompt", "support", |row| row.prompt = Some("support".into())),
    ("version", "4294967295", |row| row.version = Some(u32::MAX)),
    ("status", "client_closed", |row| row.status = Status::ClientClosed),
    ("error", "rate_limited", |row| row.error_code = Some("rate_limited".into())),
    ("cache", "coalesced", |row| row.cache = CacheState::Coalesced),
    ("purpose", "shadow", |row| row.purpose = Some(Purpose::Shadow)),
    ("purpose", "verify", |row| row.purpose = Some(Purpose::Verify)),
    ("tag:team", "search", |row| row.tags = tags(&[("tier", "gold"), ("team", "search")])),
    ("tag:te\"am", "a\\b", |row| row.tags = tags(&[("te\"am", "a\\b")])),
    ("tag:$.x[0]", "1", |row| row.tags = tags(&[("$.x[0]", "1")])),
    ("tag:ключ", "значение", |row| row.tags = tags(&[("ключ", "значение")])),
    ("tag:n", "\u{0}", |row| row.tags = tags(&[("n", "\u{0}")])),
    ("tag:backslash", "\\u0000", |row| row.tags = tags(&[("backslash", "\\u0000")])),
    ("hour", "2026-11-20T07:59:59Z", |row| row.started_at = "2026-11-20T07:00:00Z".parse().unwrap()),
];

fn tags(pairs: &[(&str, &str)]) -> Vec<(std::sync::Arc<str>, std::sync::Arc<str>)> {
    pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
}

#[tokio::test]
async fn every_filter_finds_its_requests_and_no_other() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let at: Timestamp = "2026-11-23T09:30:00Z".parse().unwrap();
        let all: Vec<_> = FILTERS
            .iter()
            .map(|(_, _, change)| {
                let mut one = settlement(at);
                change(&mut one.request);
                one
            })
            .collect();
        pen.settle(&all).await;
        for ((name, value, _), one) in FILTERS.iter().zip(&all) {
            let found = requests(db, &Listing::parse([(*name, *value)], now()).unwrap()).await.unwrap();
            let ids: Vec<_> = found.rows.iter().map(|row| row.id).collect();
            assert_eq!(ids, [one.request.id], "{name}={value:?}");
            let parameters = [("from", "2026-11-01"), ("to", "2026-12-01"), ("by", *name), (*name, *value)];
            let report = report(db, &Query::parse(parameters, at).unwrap()).await.unwrap();
            assert_eq!((report.rows.len(), report.total.requests), (1, 1), "{name}={value:?}");
        }
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_filter_for_nothing_finds_those_that_have_none() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let mut one = settlement(now());
        *one.request = RequestRow {
            user: Some("u".into()),
            session: Some("s".into()),
            route: Some("r".into()),
            prompt: Some("p".into()),
            version: Some(1),
            error_code: Some("e".into()),
            cache: CacheState::Hit,
            tags: tags(&[("team", "a"), ("empty", "")]),
            ..*one.request
        };
        let none = settlement(now());
        pen.settle(&[one.clone(), none.clone()]).await;
        let (one, none) = (one.request.id, none.request.id);
        let found = async |parameters: &[(&str, &str)]| {
            let page = requests(db, &Listing::parse(parameters.iter().copied(), now()).unwrap()).await.unwrap();
            let mut ids: Vec<_> = page.rows.iter().map(|row| row.id).collect();
            ids.sort_unstable();
            ids
        };
        for name in ["user", "session", "route", "prompt", "version", "error", "cache", "tag:team", "tag:empty"] {
            assert_eq!(found(&[(name, "")]).await, [none], "{name}");
            let by = Query::parse([("by", name)], now()).unwrap();
            let firsts: Vec<_> = report(db, &by).await.unwrap().rows.into_iter().map(|row| row.groups).collect();
            assert_eq!((firsts.len(), &firsts[0][0]), (2, &Value::Null), "nothing comes first: {name}");
        }
        let mut both = vec![one, none];
        both.sort_unstable();
        for name in ["experiment", "arm", "tag:other"] {
            assert_eq!(found(&[(name, "")]).await, both, "{name}");
            assert_eq!(found(&[(name, "x")]).await, [], "{name}");
        }
        // Values of one dimension are alternatives, dimensions narrow each other.
        assert_eq!(found(&[("user", ""), ("user", "u"), ("tag:team", "a")]).await, [one]);
        assert_eq!(found(&[("tag:team", "a"), ("tag:team", "b")]).await, [one]);
        assert_eq!(found(&[("user", ""), ("tag:team", "a")]).await, []);
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn formulas_in_csv_are_inert() {
    on_each(async |scratch| {
        let mut pen = Pen::of(&scratch.db).await;
        for user in ["=cmd()", "+1+1", "-2", "@x", "plain, \"quoted\""] {
            let mut one = settlement(now());
            one.request.user = Some(user.into());
            pen.settle(&[one]).await;
        }
        let query = Query::parse([("by", "user,tag:=evil")], now()).unwrap();
        let csv = report(&scratch.db, &query).await.unwrap().csv().unwrap();
        let firsts: Vec<_> = csv.lines().map(|line| line.split(",1,0,0").next().unwrap()).collect();
        assert_eq!(firsts[1..], ["'+1+1,", "-2,", "'=cmd(),", "'@x,", "\"plain, \"\"quoted\"\"\","]);
        pen.close().await;
    })
    .await;
}
