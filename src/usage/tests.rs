//! The ledger: on real SQLite, what is acknowledged stands and what was cut off is charged once; on both databases, rows are
//! read as they were written and reports equal them.

mod columns;
mod crash;
mod lists;
mod pairs;
mod pen;
mod reports;
mod retention;
mod rows;
mod sums;
mod ticks;
mod trials;
mod zones;

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::{Executor, Row};

use super::*;
use crate::chat::Usage;
use crate::db::{Db, Sqlite};
use crate::types::{NanoSum, Nanos, RequestId, Timestamp, now};

const HOUR: i64 = 3_600_000_000;

struct Place {
    folder: tempfile::TempDir,
    db: Sqlite,
}

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Self::database(&folder).await;
        Self { folder, db }
    }

    async fn database(folder: &tempfile::TempDir) -> Sqlite {
        Sqlite::open(&format!("sqlite://{}/f.db", folder.path().display()), false).await.unwrap()
    }

    async fn ledger(&self) -> Ledger {
        Ledger::open(&self.db, quick()).await.unwrap()
    }

    /// A ledger that answers when the rows are committed.
    async fn durable(&self) -> Ledger {
        Ledger::open(&self.db, Options { durable: true, ..quick() }).await.unwrap()
    }

    async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query(sql).fetch_one(self.db.read()).await.unwrap().get(0)
    }

    /// The request as the admin API would read it.
    async fn request(&self, id: RequestId) -> Option<Recorded> {
        request(&Db::Sqlite(self.db.clone()), id).await.unwrap()
    }

    fn intents(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().contains("-ledger.")).count()
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
    Settlement { request: Box::new(request), attempts: vec![attempt], bodies: None }
}

/// Writes the intents of a request; gives what holds their files.
fn intend(ledger: &Ledger, settlement: &Settlement) -> SegmentRefs {
    let mut held = SegmentRefs::default();
    for attempt in &settlement.attempts {
        let intended = ledger.intend(&Intent { request: &settlement.request, attempt, ended: &[] }, &mut held);
        assert_eq!(intended.now_or_never(), Some(Ok(())));
    }
    held
}

#[tokio::test]
async fn what_is_acknowledged_stands() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let mut acks = Vec::new();
    for _ in 0..700 {
        let settlement = settlement(now());
        let held = intend(&ledger, &settlement);
        acks.push(ledger.settle(settlement, held));
    }
    for ack in acks {
        ack.await.unwrap();
    }
    ledger.flush().await;
    assert_eq!(place.number("select count(*) from requests").await, 700);
    assert_eq!(place.number("select count(*) from full_attempts").await, 700);
    assert_eq!(place.number("select sum(requests) from rollups").await, 700);
    assert_eq!(place.number("select sum(cost) from rollups").await, 700 * 4_500);
    drop(ledger.settle(settlement(now()), SegmentRefs::default()));
    ledger.close().await.unwrap();
    assert_eq!(place.number("select count(*) from requests").await, 701);
    assert_eq!(place.intents(), 0);
}

#[tokio::test]
async fn a_second_process_is_refused() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    assert!(matches!(Ledger::open(&place.db, quick()).await, Err(Error::InUse(_))));
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_second_process_that_reaches_the_file_by_a_link_is_refused() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    for (name, target) in [("link.db", "f.db"), ("again.db", "link.db")] {
        std::os::unix::fs::symlink(target, place.folder.path().join(name)).unwrap();
        let url = format!("sqlite://{}/./{name}", place.folder.path().display());
        let other = Sqlite::open(&url, false).await.unwrap();
        assert!(matches!(Ledger::open(&other, quick()).await, Err(Error::InUse(_))), "{name}");
    }
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_second_process_takes_no_journal_whose_writer_lives_though_the_lock_file_is_gone() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let one = settlement(now());
    let held = intend(&ledger, &one);
    std::fs::remove_file(place.folder.path().join("f.db-lock")).unwrap();
    if cfg!(target_os = "linux") {
        assert!(matches!(Ledger::open(&place.db, quick()).await, Err(Error::InUse(_))));
    }
    // In another container the database's own lock is not seen either.
    let mut writer = store::writer::Writer::open(&place.db, quick().patience).await.unwrap();
    let files = journal::segment::left(place.db.path()).unwrap();
    assert_eq!(files.len(), 1);
    let refused = journal::recover::all(&place.db, &mut writer, &files, Duration::ZERO).await;
    assert!(matches!(refused, Err(Error::InUse(_))), "{refused:?}");
    ledger.settle(one, held).await.unwrap();
    ledger.close().await.unwrap();
    assert_eq!(place.number("select sum(cost) from full_attempts").await, 4_500);
}

#[tokio::test]
async fn a_database_that_cannot_take_up_the_journal_is_reported_with_its_path_and_what_to_do() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    drop(intend(&ledger, &settlement(now())));
    drop(ledger.close().await);
    let refuse = "create trigger full before insert on attempts begin select 1 from no_such_table; end";
    place.db.write().execute(refuse).await.unwrap();
    let text = Ledger::open(&place.db, quick()).await.unwrap_err().to_string();
    assert!(text.starts_with("cannot use the database ") && text.contains("f.db: "), "{text}");
    assert!(text.contains("; restore it from a backup"), "{text}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_second_process_that_reaches_the_file_by_a_hard_link_is_refused() {
    let place = Place::new().await;
    let elsewhere = place.folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::hard_link(place.folder.path().join("f.db"), elsewhere.join("hard.db")).unwrap();
    let ledger = place.ledger().await;
    let url = format!("sqlite://{}/hard.db", elsewhere.display());
    let refused = Sqlite::open(&url, false).await.unwrap_err().to_string();
    assert!(refused.contains("by another name, a hard link"), "it is not even opened: {refused}");
    let beside = Sqlite::open(&format!("sqlite://{}/f.db", place.folder.path().display()), false).await.unwrap();
    beside.close().await;
    ledger.close().await.unwrap();
    place.db.close().await;
    let other = Sqlite::open(&url, false).await.unwrap();
    Ledger::open(&other, quick()).await.unwrap().close().await.unwrap();
}

#[tokio::test]
async fn an_answer_waits_for_the_commit_where_the_journal_is_not_enough() {
    let with_bodies = || Settlement { bodies: Some(Bodies::default()), ..settlement(now()) };
    let place = Place::new().await;
    for durable in [true, false] {
        let ledger = if durable { place.durable().await } else { place.ledger().await };
        let mut other = place.db.connect().await.unwrap();
        other.execute("begin immediate").await.unwrap();
        let mut ack = ledger.settle(if durable { settlement(now()) } else { with_bodies() }, SegmentRefs::default());
        while ledger.healthy() {
            assert_eq!((&mut ack).now_or_never(), None);
            tokio::task::yield_now().await;
        }
        if !durable {
            assert_eq!(ledger.settle(settlement(now()), SegmentRefs::default()).now_or_never(), Some(Ok(())));
        }
        other.execute("commit").await.unwrap();
        ack.await.unwrap();
        ledger.close().await.unwrap();
    }
    assert_eq!(place.number("select count(*) from requests").await, 3);
}

#[tokio::test]
async fn a_ledger_that_is_closed_takes_nothing_and_lets_another_open() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    ledger.clone().close().await.unwrap();
    let next = place.ledger().await;
    let late = settlement(now());
    let intent = Intent { request: &late.request, attempt: &late.attempts[0], ended: &[] };
    assert_eq!(ledger.intend(&intent, &mut SegmentRefs::default()).await, Err(Unavailable));
    assert_eq!(ledger.settle(late, SegmentRefs::default()).await, Err(Unavailable));
    ledger.flush().await;
    next.close().await.unwrap();
    assert_eq!(place.number("select count(*) from requests").await, 0);
}

#[tokio::test]
async fn a_database_that_another_holds_ends_no_call_until_the_queue_is_full() {
    let place = Place::new().await;
    let ledger = Ledger::open(&place.db, Options { queue: 40, ..quick() }).await.unwrap();
    ledger.settle(settlement(now()), SegmentRefs::default()).await.unwrap();
    let mut other = place.db.connect().await.unwrap();
    other.execute("begin exclusive").await.unwrap();
    for _ in 0..5 {
        ledger.settle(settlement(now()), SegmentRefs::default()).await.unwrap();
    }
    // The writer tries in vain until this gives up.
    ledger.flush().await;
    assert!(ledger.healthy(), "the journal has what the database cannot take yet");
    let mut more = 0;
    while ledger.healthy() {
        ledger.settle(settlement(now()), SegmentRefs::default()).await.unwrap();
        more += 1;
    }
    assert!(more >= 20, "{more}");
    other.execute("commit").await.unwrap();
    ledger.flush().await;
    assert!(ledger.healthy());
    assert_eq!(place.number("select count(*) from requests").await, 6 + more);
    assert_eq!(place.number("select sum(requests) from rollups").await, 6 + more);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_database_that_fails_midway_takes_all_or_nothing_and_recovers_by_itself() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    ledger.settle(settlement(now()), SegmentRefs::default()).await.unwrap();
    ledger.flush().await;
    // The request's row is written by then, as on a disk that fills up within a transaction.
    let full = "create trigger full before insert on rollups begin select 1 from no_such_table; end";
    place.db.write().execute(full).await.unwrap();
    let ack = ledger.settle(settlement(now()), SegmentRefs::default());
    while ledger.healthy() {
        tokio::task::yield_now().await;
    }
    place.db.write().execute("drop trigger full").await.unwrap();
    ack.await.unwrap();
    ledger.flush().await;
    assert!(ledger.healthy());
    assert_eq!(place.number("select sum(requests) from rollups").await, 2);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn a_deleted_database_is_noticed_and_taken_up_again_when_it_is_back() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    ledger.settle(settlement(now()), SegmentRefs::default()).await.unwrap();
    ledger.flush().await;
    let away = place.folder.path().join("away");
    std::fs::rename(place.db.path(), &away).unwrap();
    let ack = ledger.settle(settlement(now()), SegmentRefs::default());
    while ledger.healthy() {
        tokio::task::yield_now().await;
    }
    std::fs::rename(&away, place.db.path()).unwrap();
    ack.await.unwrap();
    ledger.flush().await;
    assert_eq!(place.number("select sum(requests) from rollups").await, 2);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn an_unfit_row_harms_no_other() {
    let place = Place::new().await;
    let ledger = place.durable().await;
    let refuse = "create trigger unfit before insert on requests when new.user_id = 'unfit' \
                  begin select raise(abort, 'unfit'); end";
    place.db.write().execute(refuse).await.unwrap();
    let (mut unfit, twice) = (settlement(now()), settlement(now()));
    unfit.request.user = Some("unfit".into());
    let acks = [settlement(now()), twice.clone(), unfit, twice, settlement(now())]
        .map(|one| ledger.settle(one, SegmentRefs::default()));
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
    let acks: Vec<_> = (0..9).map(|_| ledger.settle(settlement(now()), SegmentRefs::default())).collect();
    assert!(!ledger.healthy());
    let answers = futures_util::future::join_all(acks).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 4);
    ledger.flush().await;
    assert!(ledger.healthy());
    ledger.close().await.unwrap();
}

/// Handlers run on any thread, so what they await must be able to move.
#[test]
fn what_handlers_await_can_move_between_threads() {
    fn moves<D: 'static, T: Send>(_: impl FnOnce(&'static D) -> T) {}
    moves(|db: &Sqlite| Ledger::open(db, Options::default()));
    moves(|db: &Db| async move {
        let query = Query::parse([], now()).unwrap();
        report(db, &query).await
    });
    moves(|db: &Db| async move { requests(db, &Listing::default()).await });
    moves(|db: &Db| request(db, RequestId::new()));
    moves(|db: &Db| prune(db, now()));
    moves(|db: &Db| moves_with_a_loan(db.clone()));
}

async fn moves_with_a_loan(db: Db) {
    let query = Query::parse([], now()).unwrap();
    drop(report(&db, &query).await);
    drop(requests(&db, &Listing::default()).await);
    drop(request(&db, RequestId::new()).await);
    drop(prune(&db, now()).await);
    if let Ok(ledger) = Ledger::open(db.sqlite().unwrap(), Options::default()).await {
        drop(ledger.close().await);
    }
}
