//! The ledger on real SQLite: what is acknowledged stands, what was cut off is charged once, reports equal their rows.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::{Executor, Row};

use super::*;
use crate::chat::Usage;
use crate::db::Db;
use crate::types::{Nanos, RequestId, Timestamp, now};

const HOUR: i64 = 3_600_000_000;

struct Place {
    folder: tempfile::TempDir,
    db: Db,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Self::database(&folder).await;
        Self { folder, db }
    }

    async fn database(folder: &tempfile::TempDir) -> Db {
        Db::open(&format!("sqlite://{}/f.db", folder.path().display()), false).await.unwrap()
    }

    async fn ledger(&self) -> Ledger {
        Ledger::open(&self.db, quick()).await.unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query(sql).fetch_one(self.db.read()).await.unwrap().get(0)
    }

    fn intents(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("-intents.")).count()
    }
}

fn quick() -> Options {
    Options { patience: Duration::from_millis(1), ..Options::default() }
}

fn settlement(started_at: Timestamp) -> Settlement {
    let request = RequestRow {
        id: RequestId::new(),
        started_at,
        project: "default".into(),
        key_id: "k1".into(),
        endpoint: "/v1/chat/completions".into(),
        requested_model: "fast".into(),
        provider: Some("openai".into()),
        model: Some("gpt-4o-mini".into()),
        status: Status::Ok,
        http_status: 200,
        usage: Some(Usage { input: 10, output: 5, ..Usage::default() }),
        cost: Some(Nanos(4_500)),
        latency_us: 1_500,
        ..RequestRow::default()
    };
    let attempt = AttemptRow {
        n: 1,
        provider: "openai".into(),
        model: "gpt-4o-mini".into(),
        status: Status::Ok,
        http_status: Some(200),
        started_at,
        usage: request.usage,
        cost: request.cost,
        reserved: Nanos(9_000),
        ..AttemptRow::default()
    };
    Settlement { request, attempts: vec![attempt], bodies: None }
}

fn intend(ledger: &Ledger, settlement: &Settlement) {
    for attempt in &settlement.attempts {
        ledger.intend(&Intent { request: &settlement.request, attempt }).unwrap();
    }
}

/// Ends a ledger as `kill -9` does: nothing is flushed, and the lock goes.
async fn kill(place: Place, ledger: Ledger) -> Place {
    drop(ledger);
    let Place { folder, db } = place;
    // A copy of the files is what the next process would find.
    let next = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), next.path().join(entry.file_name())).unwrap();
    }
    db.close().await;
    let db = Place::database(&next).await;
    Place { folder: next, db }
}

#[tokio::test]
async fn what_is_acknowledged_stands() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let mut acks = Vec::new();
    for _ in 0..700 {
        let settlement = settlement(now());
        intend(&ledger, &settlement);
        acks.push(ledger.settle(settlement));
    }
    for ack in acks {
        ack.await.unwrap();
    }
    assert_eq!(place.number("select count(*) from requests").await, 700);
    assert_eq!(place.number("select count(*) from attempts").await, 700);
    assert_eq!(place.number("select sum(requests) from rollups").await, 700);
    assert_eq!(place.number("select sum(cost) from rollups").await, 700 * 4_500);
    drop(ledger.settle(settlement(now())));
    ledger.close().await.unwrap();
    assert_eq!(place.number("select count(*) from requests").await, 701);
    assert_eq!(place.intents(), 0);
}

#[tokio::test]
async fn a_row_is_read_as_it_was_written() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let mut written = settlement(now());
    written.request = RequestRow {
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
            output: 0,
            reasoning: 5,
            estimated: true,
        }),
        unpriced: true,
        saved: Nanos(3),
        first_token_us: Some(7),
        overhead_us: Some(u64::MAX),
        trace: Some(r#"{"rule":1}"#.into()),
        ..written.request
    };
    written.attempts.push(AttemptRow {
        n: 2,
        retryable: true,
        cost: None,
        rate: Some("{}".into()),
        ..written.attempts[0].clone()
    });
    written.bodies = Some(Bodies { request: "ask".into(), response: "answer".into() });
    ledger.settle(written.clone()).await.unwrap();
    let read = request(&place.db, written.request.id).await.unwrap().unwrap();
    let most = i64::MAX.unsigned_abs();
    written.request.usage.as_mut().unwrap().input = most;
    written.request.overhead_us = Some(most);
    assert_eq!((&read.request, &read.attempts), (&written.request, &written.attempts));
    assert_eq!(read.json()["trace"]["rule"], 1);
    assert_eq!(read.json()["model"], "openai/gpt-4o-mini");
    assert_eq!(place.number("select count(*) from bodies").await, 1);
    assert!(request(&place.db, RequestId::new()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    assert!(matches!(Ledger::open(&place.db, quick()).await, Err(Error::InUse(_))));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn what_was_cut_off_is_charged_exactly_once() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let settled = settlement(now());
    intend(&ledger, &settled);
    let mut lost = settlement(now());
    lost.attempts.push(AttemptRow { n: 2, provider: "other".into(), ..lost.attempts[0].clone() });
    intend(&ledger, &lost);
    let mut half = settlement(now());
    half.attempts.push(AttemptRow { n: 2, ..half.attempts[0].clone() });
    intend(&ledger, &half);
    half.attempts.truncate(1);
    ledger.settle(settled.clone()).await.unwrap();
    ledger.settle(half.clone()).await.unwrap();
    // The file still holds all lines, as one that other requests keep open does.
    let mut place = kill(place, ledger).await;
    assert_eq!(place.intents(), 1);
    for _ in 0..3 {
        let ledger = place.ledger().await;
        assert_eq!(place.number("select count(*) from requests").await, 3);
        assert_eq!(place.number("select count(*) from attempts").await, 5);
        assert_eq!(place.number("select count(*) from attempts where status = 'unknown' and cost = 9000").await, 3);
        assert_eq!(place.number("select sum(cost) from requests").await, 2 * 4_500 + 3 * 9_000);
        assert_eq!(place.number("select sum(cost) from rollups").await, 2 * 4_500 + 3 * 9_000);
        assert_eq!(place.number("select sum(requests) from rollups").await, 3);
        place = kill(place, ledger).await;
    }
    let read = request(&place.db, lost.request.id).await.unwrap().unwrap();
    assert_eq!((read.request.status, read.request.cost), (Status::Unknown, Some(Nanos(18_000))));
    assert_eq!(&*read.request.provider.unwrap(), "other");
}

#[tokio::test]
async fn damaged_intents_do_not_lose_the_others() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let all: Vec<_> = (0..3).map(|_| settlement(now())).collect();
    all.iter().for_each(|one| intend(&ledger, one));
    let path = journal::segment_path(place.db.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 4;
    bytes.truncate(bytes.len() - 9);
    let place = kill(place, ledger).await;
    std::fs::write(journal::segment_path(place.db.path(), 1), bytes).unwrap();
    let ledger = place.ledger().await;
    assert_eq!(place.number("select count(*) from requests").await, 1);
    assert_eq!(place.intents(), 0);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_locked_database_makes_calls_wait_and_recovers_by_itself() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    ledger.settle(settlement(now())).await.unwrap();
    let mut other = place.db.connect().await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let acks: Vec<_> = (0..5).map(|_| ledger.settle(settlement(now()))).collect();
    while ledger.healthy() {
        tokio::task::yield_now().await;
    }
    other.execute("commit").await.unwrap();
    for ack in acks {
        ack.await.unwrap();
    }
    assert!(ledger.healthy());
    assert_eq!(place.number("select count(*) from requests").await, 6);
    assert_eq!(place.number("select sum(requests) from rollups").await, 6);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_fails_midway_takes_all_or_nothing_and_recovers_by_itself() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    ledger.settle(settlement(now())).await.unwrap();
    // The request's row is written by then, as on a disk that fills up within a transaction.
    let full = "create trigger full before insert on attempts begin select 1 from no_such_table; end";
    place.db.write().execute(full).await.unwrap();
    let ack = ledger.settle(settlement(now()));
    while ledger.healthy() {
        tokio::task::yield_now().await;
    }
    place.db.write().execute("drop trigger full").await.unwrap();
    ack.await.unwrap();
    assert!(ledger.healthy());
    assert_eq!(place.number("select sum(requests) from rollups").await, 2);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_deleted_database_is_noticed_and_taken_up_again_when_it_is_back() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    ledger.settle(settlement(now())).await.unwrap();
    let away = place.folder.path().join("away");
    std::fs::rename(place.db.path(), &away).unwrap();
    let ack = ledger.settle(settlement(now()));
    while ledger.healthy() {
        tokio::task::yield_now().await;
    }
    std::fs::rename(&away, place.db.path()).unwrap();
    ack.await.unwrap();
    assert_eq!(place.number("select sum(requests) from rollups").await, 2);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn an_unfit_row_harms_no_other() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let refuse = "create trigger unfit before insert on requests when new.project = 'unfit' \
                  begin select raise(abort, 'unfit'); end";
    place.db.write().execute(refuse).await.unwrap();
    let (mut unfit, twice) = (settlement(now()), settlement(now()));
    unfit.request.project = "unfit".into();
    let acks = [settlement(now()), twice.clone(), unfit, twice, settlement(now())].map(|one| ledger.settle(one));
    let answers = futures_util::future::join_all(acks).await;
    assert_eq!(answers, [Ok(()), Ok(()), Err(Unavailable), Ok(()), Ok(())]);
    assert!(ledger.healthy());
    assert_eq!(place.number("select count(*) from requests").await, 3);
    assert_eq!(place.number("select sum(requests) from rollups").await, 3);
    ledger.close().await.unwrap_err();
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let place = Place::new().await;
    let ledger = Ledger::open(&place.db, Options { queue: 4, ..quick() }).await.unwrap();
    let acks: Vec<_> = (0..9).map(|_| ledger.settle(settlement(now()))).collect();
    assert!(!ledger.healthy());
    let answers = futures_util::future::join_all(acks).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 4);
    assert!(ledger.healthy());
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn pages_hold_every_request_once_newest_first() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let mut ids = Vec::new();
    for n in 0..23u32 {
        let mut one = settlement(now());
        one.request.version = Some(n % 2);
        ids.push(one.request.id);
        ledger.settle(one).await.unwrap();
    }
    ids.reverse();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = requests(&place.db, &Listing { limit: Some(5), cursor, ..Listing::default() }).await.unwrap();
        seen.extend(page.rows.iter().map(|row| row.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let odd = Listing::parse([("version", "1"), ("model", "openai/gpt-4o-mini")]).unwrap();
    assert_eq!(requests(&place.db, &odd).await.unwrap().rows.len(), 11);
    for (name, value) in [("cursor", "x"), ("limit", "0"), ("limit", "501"), ("x", "y")] {
        assert!(Listing::parse([(name, value)]).is_err(), "{name}={value}");
    }
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn retention_deletes_whole_hours_and_nothing_younger() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let base = now().hour();
    for micros in [-2 * HOUR, -HOUR, -1, 0, 1] {
        // Ids are of now, so this is also a clock that went back.
        ledger.settle(settlement(Timestamp(base.0 + micros))).await.unwrap();
    }
    assert_eq!(prune(&place.db, Timestamp(base.0 + 5)).await.unwrap(), 3);
    assert_eq!(place.number("select count(*) from requests").await, 2);
    assert_eq!(place.number("select count(*) from attempts").await, 2);
    assert_eq!(place.number("select sum(requests) from rollups").await, 2);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn formulas_in_csv_are_inert() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    for user in ["=cmd()", "+1+1", "-2", "@x", "plain, \"quoted\""] {
        let mut one = settlement(now());
        one.request.user = Some(user.into());
        ledger.settle(one).await.unwrap();
    }
    let query = Query::parse([("by", "user,tag:=evil")], now()).unwrap();
    let csv = report(&place.db, &query).await.unwrap().csv().unwrap();
    let firsts: Vec<_> = csv.lines().map(|line| line.split(",1,0,0").next().unwrap()).collect();
    assert_eq!(firsts[1..], ["'+1+1,", "-2,", "'=cmd(),", "'@x,", "\"plain, \"\"quoted\"\"\","]);
    ledger.close().await.unwrap();
}

/// A settlement from a few numbers, around the edges of three hours.
fn varied((seed, at, size): (u32, i64, u64), base: Timestamp) -> Settlement {
    let pick = |shift: u32, count: u32| (seed >> shift) % count;
    let some = |shift: u32, name: &str| -> Option<Arc<str>> {
        let n = pick(shift, 3);
        (n > 0).then(|| format!("{name}{n}").into())
    };
    let mut one = settlement(Timestamp(base.0 + at));
    let priced = pick(1, 4) > 0;
    one.request = RequestRow {
        project: format!("p{}", pick(3, 2)).into(),
        key_id: format!("k{}", pick(5, 2)).into(),
        user: some(7, "u"),
        session: some(8, "s"),
        tags: some(9, "t").map(|tag| ("team".into(), tag)).into_iter().collect(),
        provider: some(11, "pr"),
        model: some(11, "m"),
        route: some(13, "r"),
        prompt: some(15, "prompt"),
        version: some(15, "prompt").map(|_| pick(17, 3)),
        status: Status::ALL[pick(19, 4) as usize],
        error_code: (pick(19, 4) == 1).then(|| "upstream_error".into()),
        cache: CacheState::ALL[pick(21, 6) as usize],
        usage: (pick(23, 5) > 0).then(|| Usage {
            input: size * 4,
            cached_input: size,
            cache_write: size / 2,
            output: size * 2,
            reasoning: size / 3,
            estimated: false,
        }),
        cost: priced.then(|| Nanos(size as i64 * 7)),
        unpriced: !priced,
        saved: Nanos(size as i64),
        latency_us: size * 1_000,
        first_token_us: (pick(24, 2) > 0).then_some(size),
        overhead_us: (pick(25, 2) > 0).then_some(size / 2),
        ..one.request
    };
    one
}

/// What a report must say, from the settlements themselves.
fn expected(by: &[Dimension], rows: &[&RequestRow]) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut groups: BTreeMap<Vec<String>, Vec<&RequestRow>> = BTreeMap::new();
    for row in rows {
        groups.entry(by.iter().map(|dimension| name_of(dimension, row)).collect()).or_default().push(row);
    }
    groups.into_iter().map(|(group, rows)| (group, figures(&rows))).collect()
}

fn name_of(dimension: &Dimension, row: &RequestRow) -> String {
    let or = |text: &Option<Arc<str>>| text.as_deref().unwrap_or("").to_owned();
    let time = row.started_at.to_string();
    match dimension {
        Dimension::Hour => format!("{}:00:00Z", &time[..13]),
        Dimension::Day => time[..10].to_owned(),
        Dimension::Month => time[..7].to_owned(),
        Dimension::Project => row.project.to_string(),
        Dimension::Key => row.key_id.to_string(),
        Dimension::User => or(&row.user),
        Dimension::Session => or(&row.session),
        Dimension::Provider => or(&row.provider),
        Dimension::Model => row.provider.as_ref().map_or(String::new(), |p| format!("{p}/{}", or(&row.model))),
        Dimension::Route => or(&row.route),
        Dimension::Prompt => or(&row.prompt),
        Dimension::Version => row.version.map_or(String::new(), |version| version.to_string()),
        Dimension::Experiment | Dimension::Arm => String::new(),
        Dimension::Status => row.status.text().to_owned(),
        Dimension::Error => or(&row.error_code),
        Dimension::Cache => row.cache.text().unwrap_or("").to_owned(),
        Dimension::Tag(_) => row.tags.first().map_or(String::new(), |(_, value)| value.to_string()),
    }
}

/// The figures without percentiles, which have their own test.
fn figures(rows: &[&RequestRow]) -> Vec<String> {
    let count = |fits: &dyn Fn(&RequestRow) -> bool| rows.iter().filter(|row| fits(row)).count().to_string();
    let tokens =
        |of: &dyn Fn(&Usage) -> u64| rows.iter().filter_map(|row| row.usage.as_ref().map(of)).sum::<u64>().to_string();
    let cost: Vec<_> = rows.iter().filter_map(|row| row.cost).collect();
    let hit = |row: &RequestRow| matches!(row.cache.text(), Some("hit" | "semantic" | "coalesced"));
    vec![
        rows.len().to_string(),
        count(&|row| row.status == Status::Error),
        count(&hit),
        tokens(&|usage| usage.input),
        tokens(&|usage| usage.cached_input),
        tokens(&|usage| usage.cache_write),
        tokens(&|usage| usage.output),
        tokens(&|usage| usage.reasoning),
        if cost.is_empty() { String::new() } else { cost.iter().copied().sum::<Nanos>().to_string() },
        rows.iter().map(|row| row.saved).sum::<Nanos>().to_string(),
        count(&|row| row.unpriced),
    ]
}

#[test]
fn reports_by_every_dimension_equal_their_rows() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let numbers = (any::<u32>(), -HOUR..2 * HOUR, 1u64..5_000);
    let cases = prop::collection::vec(numbers, 1..60);
    let edges = (-HOUR..2 * HOUR, 0..3 * HOUR, any::<u8>());
    let mut runner = TestRunner::new(Config { cases: 12, failure_persistence: None, ..Config::default() });
    runner.run(&(cases, edges), |(cases, edges)| runtime.block_on(compare(cases, edges))).unwrap();
}

async fn compare(cases: Vec<(u32, i64, u64)>, (from, span, snap): (i64, i64, u8)) -> Result<(), TestCaseError> {
    let place = Place::new().await;
    let base = now().hour();
    let all: Vec<_> = cases.into_iter().map(|case| varied(case, base)).collect();
    let ledger = place.ledger().await;
    let acks: Vec<_> = all.iter().map(|one| ledger.settle(one.clone())).collect();
    for ack in acks {
        ack.await.unwrap();
    }
    // Edges lie on whole hours, on a row exactly, or anywhere.
    let from = Timestamp(base.0 + if snap % 3 == 0 { from / HOUR * HOUR } else { from });
    let from = if snap % 3 == 1 { all[0].request.started_at } else { from };
    let to = Timestamp(from.0 + if snap % 2 == 0 { span / HOUR * HOUR } else { span });
    let user = all[0].request.user.as_deref().unwrap_or("").to_owned();
    let names = "hour day month project key user session provider model route prompt version experiment arm status error cache tag:team";
    let mut asked: Vec<Vec<Dimension>> = names.split(' ').map(|name| vec![name.parse().unwrap()]).collect();
    asked.extend([
        vec![],
        vec![Dimension::Day, Dimension::Model, Dimension::Status],
        vec![Dimension::Hour, Dimension::User],
    ]);
    for by in asked {
        for filtered in [false, true] {
            let filters = filtered.then(|| Filter::parse("user", &user).unwrap()).into_iter().collect();
            let query = Query { by: by.clone(), from, to, filters };
            let fits = |row: &&RequestRow| {
                let inside = row.started_at >= from && row.started_at < to;
                inside && (!filtered || row.user.as_deref().unwrap_or("") == user)
            };
            let rows: Vec<_> = all.iter().map(|one| &one.request).filter(fits).collect();
            let report = report(&place.db, &query).await.unwrap();
            let width = by.len();
            let found = report.rows.iter().map(|row| {
                let cells = report.cells(row);
                (cells[..width].to_vec(), cells[width..width + 11].to_vec())
            });
            prop_assert_eq!(found.collect::<BTreeMap<_, _>>(), expected(&by, &rows), "{:?}", by);
            let total = report.total_cells()[width..width + 11].to_vec();
            if !rows.is_empty() {
                prop_assert_eq!(total, figures(&rows));
                check_percentiles(&report.total, &rows)?;
            }
        }
    }
    ledger.close().await.unwrap();
    Ok(())
}

fn check_percentiles(total: &Totals, rows: &[&RequestRow]) -> Result<(), TestCaseError> {
    let mut values: Vec<u64> =
        rows.iter().filter(|row| row.status != Status::Unknown).map(|row| row.latency_us).collect();
    values.sort_unstable();
    for (percent, found) in [(50, total.latency_ms.p50), (95, total.latency_ms.p95), (99, total.latency_ms.p99)] {
        let Some(found) = found else {
            prop_assert!(values.is_empty());
            continue;
        };
        let exact = values[(values.len() * percent).div_ceil(100).max(1) - 1] as f64 / 1_000.0;
        prop_assert!((found - exact).abs() <= exact * 0.02, "{found} for {exact}");
    }
    Ok(())
}

/// Handlers run on any thread, so what they await must be able to move.
#[test]
fn what_handlers_await_can_move_between_threads() {
    fn moves<T: Send>(_: impl FnOnce(&'static Db) -> T) {}
    moves(|db| Ledger::open(db, Options::default()));
    moves(|db| async move {
        let query = Query::parse([], now()).unwrap();
        report(db, &query).await
    });
    moves(|db| async move { requests(db, &Listing::default()).await });
    moves(|db| request(db, RequestId::new()));
    moves(|db| prune(db, now()));
    moves(|db| moves_with_a_loan(db.clone()));
}

async fn moves_with_a_loan(db: Db) {
    let query = Query::parse([], now()).unwrap();
    drop(report(&db, &query).await);
    drop(requests(&db, &Listing::default()).await);
    drop(request(&db, RequestId::new()).await);
    drop(prune(&db, now()).await);
    if let Ok(ledger) = Ledger::open(&db, Options::default()).await {
        drop(ledger.close().await);
    }
}
