//! On both databases, rows are read as they were written.

use std::collections::HashSet;

use super::pen::{Pen, number, write};
use super::*;
use crate::db::scratch::{Scratch, on_each};
use crate::db::{Engine, Row, assembled};
use crate::usage::settling::Amendment;
use crate::usage::store::portable::Portable;
use crate::usage::store::queries;
use crate::usage::store::writer::Writer;

/// A settlement with something in every column.
fn full() -> Settlement {
    let mut written = settlement(now());
    *written.request = RequestRow {
        user: Some("u\u{0}\"'é".into()),
        session: Some("s".into()),
        tags: vec![("team".into(), "a".into()), ("=x".into(), "'; drop table requests --".into())],
        route: Some("r".into()),
        prompt: Some("support-reply".into()),
        version: Some(3),
        stream: true,
        error_code: Some("upstream_error".into()),
        cache: CacheState::Miss,
        usage: Some(Usage {
            input: u64::MAX,
            cached_input: 2,
            cache_write: 3,
            cache_write_1h: 0,
            output: 0,
            reasoning: 5,
            estimated: true,
            ..Usage::default()
        }),
        unpriced: true,
        saved: Nanos(3),
        first_token_us: Some(7),
        overhead_us: Some(u64::MAX),
        trace: Some(r#"{"rule":1}"#.into()),
        purpose: Some(Purpose::Shadow),
        of: Some(RequestId::new()),
        assigned: Some(Box::new(Assignment {
            experiment: "support-v4".into(),
            arm: "candidate".into(),
            propensity: 475_000,
            unit: i64::MIN,
        })),
        ..*written.request
    };
    written.attempts.push(AttemptRow {
        n: 2,
        retryable: true,
        cost: None,
        rate: Some("{}".into()),
        ..written.attempts[0].clone()
    });
    written.attempts[1].usage = written.request.usage.map(|usage| Usage { input: 9, cache_write_1h: 2, ..usage });
    written.bodies = Some(Bodies { request: "ask".into(), response: "answer".into() });
    written
}

/// A settlement as it is read back.
fn as_read(mut one: Settlement, engine: Engine) -> Settlement {
    let most = i64::MAX.unsigned_abs();
    let row = &mut one.request;
    row.usage.iter_mut().for_each(|usage| usage.input = usage.input.min(most));
    row.overhead_us = row.overhead_us.map(|micros| micros.min(most));
    // PostgreSQL takes no NUL character.
    row.user = row.user.take().map(|user| engine.storable(&user).into());
    one
}

#[tokio::test]
async fn a_row_is_read_as_it_was_written() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let written = full();
        pen.settle(std::slice::from_ref(&written)).await;
        let read = request(db, written.request.id).await.unwrap().unwrap();
        let written = as_read(written, db.engine());
        assert_eq!((&read.request, &read.attempts), (&*written.request, &written.attempts));
        assert_eq!(read.json()["trace"]["rule"], 1);
        assert_eq!(read.json()["model"], "openai/gpt-4o-mini");
        assert_eq!((&read.json()["arm"], &read.json()["propensity"]), (&"candidate".into(), &0.475.into()));
        assert_eq!(number(db, "select count(*) from bodies").await, 1);
        assert!(request(db, RequestId::new()).await.unwrap().is_none());
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_row_with_nothing_in_it_is_read_as_it_was_written() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let attempt = AttemptRow { n: 1, provider: "p".into(), model: "m".into(), ..AttemptRow::default() };
        let request_row = RequestRow { id: RequestId::new(), started_at: now(), ..RequestRow::default() };
        let written = Settlement { request: Box::new(request_row), attempts: vec![attempt], bodies: None };
        let none = Settlement { attempts: Vec::new(), ..settlement(now()) };
        pen.settle(&[written.clone(), none.clone()]).await;
        for one in [written, none] {
            let read = request(db, one.request.id).await.unwrap().unwrap();
            assert_eq!((&read.request, &read.attempts), (&*one.request, &one.attempts));
        }
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn writes_for_an_hour_stand_with_the_only_attempt_too() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let mut written = settlement(now());
        let usage = Usage { input: 9, cache_write: 5, cache_write_1h: 4, ..Usage::default() };
        (written.request.usage, written.attempts[0].usage) = (Some(usage), Some(usage));
        pen.settle(std::slice::from_ref(&written)).await;
        let read = request(db, written.request.id).await.unwrap().unwrap();
        assert_eq!(read.attempts[0].usage, Some(usage));
        assert_eq!(read.json()["attempts"][0]["cache_write_1h_tokens"], 4);
        assert_eq!(number(db, "select count(*) from attempts").await, 0);
        pen.close().await;
    })
    .await;
}

#[tokio::test]
async fn batches_of_every_size_stand_with_their_hourly_sums() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut pen = Pen::of(db).await;
        let (mut all, mut cost) = (Vec::new(), 0);
        // Several batches add to the same cells; the largest has parts of every table.
        for size in [1, 2, 700, 3] {
            let batch: Vec<_> = (0..size).map(|n| of_a_batch(n, now())).collect();
            pen.settle(&batch).await;
            cost += batch.iter().map(|one| one.request.cost.unwrap().0).sum::<i64>();
            all.extend(batch);
        }
        let apart = all.iter().filter(|one| one.attempts.len() > 1).count() as i64 * 2;
        for (sql, expected) in [
            ("select count(*) from full_requests", 706),
            ("select cast(sum(cost) as bigint) from full_requests", cost),
            ("select count(*) from attempts", apart),
            ("select count(*) from full_attempts", 706 + apart / 2),
            ("select cast(sum(requests) as bigint) from full_rollups", 706),
            ("select cast(sum(cost) as bigint) from full_rollups", cost),
            ("select cast(sum(input_tokens) as bigint) from full_rollups", 7_060),
            ("select count(*) from full_requests where stream = 1", 0),
            ("select count(*) from ledger_skew", 0),
        ] {
            assert_eq!(number(db, sql).await, expected, "{sql}");
        }
        for one in all.iter().step_by(41) {
            let read = request(db, one.request.id).await.unwrap().unwrap();
            assert_eq!((&read.request, &read.attempts), (&*one.request, &one.attempts));
        }
        pen.close().await;
    })
    .await;
}

/// A settlement of a project of 30, a third of them with a second attempt.
fn of_a_batch(n: usize, at: Timestamp) -> Settlement {
    let mut one = settlement(at);
    one.request.project = format!("p{}", n % 30).into();
    if n % 3 == 1 {
        one.attempts.push(AttemptRow { n: 2, retryable: true, ..one.attempts[0].clone() });
        one.request.cost = Some(Nanos(9_000));
    }
    one
}

#[tokio::test]
async fn attempts_that_a_crash_cut_off_are_added_to_requests_that_stand() {
    on_each(async |scratch| {
        let db = &scratch.db;
        let (alone, mut apart, other) = (settlement(now()), settlement(now()), settlement(now()));
        apart.attempts[0].retryable = true;
        write(db, &[&alone, &apart, &other], &[]).await;
        let lost = |one: &Settlement| {
            let attempt = AttemptRow { n: 2, status: Status::Unknown, cost: Some(Nanos(7)), ..one.attempts[0].clone() };
            Amendment { request: (*one.request).clone(), attempt }
        };
        let mut unpriced = lost(&other);
        unpriced.attempt.cost = None;
        write(db, &[], &[lost(&alone), lost(&apart), unpriced]).await;
        for (one, added) in [(alone, 7), (apart, 7), (other, 0)] {
            let read = request(db, one.request.id).await.unwrap().unwrap();
            assert_eq!(read.request.cost, Some(Nanos(4_500 + added)));
            let [first, second] = &read.attempts[..] else { panic!("{read:?}") };
            assert_eq!(first, &one.attempts[0]);
            assert_eq!((second.n, second.status, second.cost.unwrap_or_default()), (2, Status::Unknown, Nanos(added)));
        }
        assert_eq!(number(db, "select cast(sum(requests) as bigint) from full_rollups").await, 3);
        assert_eq!(number(db, "select cast(sum(cost) as bigint) from full_rollups").await, 3 * 4_500 + 14);
    })
    .await;
}

#[tokio::test]
async fn a_start_finds_which_rows_stand_and_which_numbers_are_next() {
    on_each(async |scratch| {
        let db = &scratch.db;
        assert_eq!(queries::next_numbers(db).await.unwrap(), (1, 1));
        assert_eq!(queries::skew(db).await.unwrap(), queries::LEAST_SKEW);
        let at = now();
        let (mut one, mut two, far) = (settlement(at), settlement(at), settlement(Timestamp(at.0 - HOUR)));
        one.attempts[0].rate = Some("{}".into());
        two.attempts.push(AttemptRow { n: 2, ..two.attempts[0].clone() });
        write(db, &[&one, &two], &[]).await;
        assert_eq!(queries::next_numbers(db).await.unwrap(), (3, 3), "the two differ in what they have in common");
        write(db, &[&far], &[]).await;
        write(db, &[&settlement(now())], &[]).await;
        let skew = queries::skew(db).await.unwrap();
        assert!((HOUR - 1_000..HOUR + 60_000_000).contains(&skew), "{skew}");
        let ids = [one.request.id, two.request.id, RequestId::new()];
        let known = queries::known_requests(db, ids.into_iter()).await.unwrap();
        assert_eq!(known, HashSet::from([ids[0], ids[1]]));
        let attempts = queries::known_attempts(db, ids.into_iter()).await.unwrap();
        assert_eq!(attempts, HashSet::from([(ids[0], 1), (ids[1], 1), (ids[1], 2)]));
    })
    .await;
}

#[tokio::test]
async fn the_writer_of_tests_leaves_what_the_ledgers_writer_leaves() {
    let batches: Vec<Vec<_>> =
        [40, 3].map(|size| (0..size).map(|n| of_a_batch(n, now())).chain([full()]).collect()).to_vec();
    let own = Scratch::sqlite().await;
    let mut ledgers = Writer::open(own.db.sqlite().unwrap(), Duration::from_millis(1)).await.unwrap();
    for batch in &batches {
        ledgers.write(&batch.iter().collect::<Vec<_>>(), &[]).await.unwrap();
    }
    on_each(async |scratch| {
        let db = &scratch.db;
        let mut portable = Portable::open(db).await.unwrap();
        for batch in &batches {
            portable.write(&batch.iter().collect::<Vec<_>>(), &[]).await.unwrap();
        }
        for table in ["kinds", "requests", "attempts", "bodies", "rollups"] {
            let (here, there) = (rows_of(db, table).await, rows_of(&own.db, table).await);
            let there = there.iter().map(|row| db.engine().storable(row).into_owned()).collect::<Vec<_>>();
            assert_eq!(here, there, "{table}");
        }
    })
    .await;
}

/// Every row of a table, as text, with its columns by name.
async fn rows_of(db: &Db, table: &str) -> Vec<String> {
    let none = Scratch::sqlite().await;
    let names = assembled(format!("select name, type from pragma_table_info('{table}') order by name"));
    let columns = names.fetch_all(&none.db).await.unwrap();
    let columns: Vec<(String, String)> = columns.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect();
    let listed: Vec<_> = columns.iter().map(|(name, _)| &**name).collect();
    let order = if table == "attempts" || table == "bodies" { "request_id" } else { "id" };
    let last = if table == "attempts" { "n" } else { order };
    let sql = format!("select {} from {table} order by {order}, {last}", listed.join(", "));
    let cell = |row: &Row, name: &str, kind: &str| match kind.to_lowercase().as_str() {
        "text" => row.get::<Option<String>>(name).unwrap().map_or("null".into(), |text| format!("'{text}'")),
        "blob" => format!("{:?}", row.get::<Option<Vec<u8>>>(name).unwrap()),
        _ => format!("{:?}", row.get::<Option<i64>>(name).unwrap()),
    };
    let rows = assembled(sql).fetch_all(db).await.unwrap();
    let cell = |row: &Row, name: &String, kind: &String| format!("{name}={}", cell(row, name, kind));
    let text = |row| columns.iter().map(|(name, kind)| cell(row, name, kind)).collect::<Vec<_>>().join(" ");
    rows.iter().map(text).collect()
}
