//! What a crash leaves in the journal is taken up at the next start, exactly once.

use super::*;
use crate::usage::journal::found;
use crate::usage::journal::segment::{path_of_lines, segment_path};

/// What the next process would find if this one were killed now.
async fn copy(place: &Place) -> Place {
    let next = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(place.folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), next.path().join(entry.file_name())).unwrap();
    }
    let db = Place::database(&next).await;
    Place { folder: next, db }
}

/// Ends a ledger as `kill -9` does: nothing is flushed, and the lock goes.
async fn kill(place: Place, ledger: Ledger) -> Place {
    drop(ledger);
    let next = copy(&place).await;
    place.db.close().await;
    next
}

#[tokio::test]
async fn what_was_cut_off_is_charged_exactly_once() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let settled = settlement(now());
    let held = intend(&ledger, &settled);
    let mut lost = settlement(now());
    lost.attempts.push(AttemptRow { n: 2, provider: "other".into(), ..lost.attempts[0].clone() });
    drop(intend(&ledger, &lost));
    let mut half = settlement(now());
    half.attempts.push(AttemptRow { n: 2, ..half.attempts[0].clone() });
    let half_held = intend(&ledger, &half);
    half.attempts.truncate(1);
    ledger.settle(settled.clone(), held).await.unwrap();
    ledger.settle(half.clone(), half_held).await.unwrap();
    ledger.flush().await;
    // The file still holds all lines, as one that other requests keep open does.
    let mut place = kill(place, ledger).await;
    assert_eq!(place.intents(), 1);
    for _ in 0..3 {
        let ledger = place.ledger().await;
        assert_eq!(place.number("select count(*) from requests").await, 3);
        assert_eq!(place.number("select count(*) from full_attempts").await, 5);
        assert_eq!(
            place.number("select count(*) from full_attempts where status = 'unknown' and cost = 9000").await,
            3
        );
        assert_eq!(place.number("select sum(cost) from requests").await, 2 * 4_500 + 3 * 9_000);
        assert_eq!(place.number("select sum(cost) from rollups").await, 2 * 4_500 + 3 * 9_000);
        assert_eq!(place.number("select sum(cost) from full_attempts").await, 2 * 4_500 + 3 * 9_000);
        assert_eq!(place.number("select sum(requests) from rollups").await, 3);
        place = kill(place, ledger).await;
    }
    let read = place.request(lost.request.id).await.unwrap();
    assert_eq!((read.request.status, read.request.cost), (Status::Unknown, Some(Nanos(18_000))));
    assert_eq!(&*read.request.provider.unwrap(), "other");
}

#[tokio::test]
async fn damaged_intents_do_not_lose_the_others() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let all: Vec<_> = (0..3).map(|_| settlement(now())).collect();
    all.iter().for_each(|one| drop(intend(&ledger, one)));
    let path = segment_path(place.db.path(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 4;
    bytes.truncate(bytes.len() - 9);
    let place = kill(place, ledger).await;
    std::fs::write(segment_path(place.db.path(), 1), bytes).unwrap();
    let ledger = place.ledger().await;
    assert_eq!(place.number("select count(*) from requests").await, 1);
    assert_eq!(place.intents(), 0);
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn what_was_answered_is_found_once_wherever_the_journal_ends() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let mut all: Vec<_> = (0..6).map(|_| settlement(now())).collect();
    for (n, one) in all.iter_mut().enumerate() {
        one.request.tags = vec![("team".into(), "a\tb\n".into())];
        one.request.trace = Some(r#"{"rule":1}"#.into());
        one.attempts[0].rate = Some("{}".into());
        if n % 2 == 1 {
            one.attempts.push(AttemptRow { n: 2, ..one.attempts[0].clone() });
            one.request.cost = Some(Nanos(9_000));
        }
    }
    // Half of it is committed, and the database takes no more.
    let mut other = place.db.connect().await.unwrap();
    for (n, one) in all.iter().enumerate() {
        if n == 3 {
            ledger.flush().await;
            other.execute("begin immediate").await.unwrap();
        }
        let held = intend(&ledger, one);
        ledger.settle(one.clone(), held).await.unwrap();
    }
    let path = segment_path(place.db.path(), 1);
    let bytes = std::fs::read(&path).unwrap();
    let ends = found::ends(&bytes);
    assert_eq!(ends.len(), 6 + 9);
    let tail = &ends[ends.len() - 6..];
    let cuts = tail.iter().flat_map(|end| [end - 9, end - 1, *end, end + 1, end + 2]).filter(|cut| *cut <= bytes.len());
    for cut in cuts {
        let next = copy(&place).await;
        std::fs::write(segment_path(next.db.path(), 1), &bytes[..cut]).unwrap();
        check(&next, &all, ends.iter().filter(|end| **end <= cut).count()).await;
    }
    other.execute("commit").await.unwrap();
    ledger.close().await.unwrap();
}

/// Checks what starts make of the journal's first `lines`, with every request's intents before its settlement.
async fn check(place: &Place, all: &[Settlement], lines: usize) {
    for _ in 0..2 {
        let ledger = place.ledger().await;
        let (mut rest, mut rows, mut cost) = (lines, 0, 0);
        for one in all {
            let found = place.request(one.request.id).await;
            let intents = rest.min(one.attempts.len());
            let whole = rest > one.attempts.len();
            rest -= intents + usize::from(whole);
            rows += i64::from(intents > 0);
            cost += if whole { one.request.cost.unwrap().0 } else { 9_000 * intents as i64 };
            let Some(Recorded { request, attempts, .. }) = found else {
                assert_eq!(intents, 0);
                continue;
            };
            if whole {
                assert_eq!((&request, &attempts), (&*one.request, &one.attempts));
            } else {
                assert_eq!(
                    (request.status, attempts.len(), request.tags),
                    (Status::Unknown, intents, one.request.tags.clone())
                );
            }
        }
        for (sql, sum) in [
            ("select count(*) from requests", rows),
            ("select sum(requests) from rollups", rows),
            ("select sum(cost) from rollups", cost),
            ("select sum(cost) from requests", cost),
            ("select sum(cost) from full_attempts", cost),
        ] {
            assert_eq!(place.number(sql).await, sum, "{sql} after {lines} lines");
        }
        assert_eq!(place.intents(), 0);
        ledger.close().await.unwrap();
    }
}

/// An attempt of a request: its number, and what it cost where it has ended.
fn attempt(n: u32, cost: Option<i64>) -> AttemptRow {
    let sent = AttemptRow {
        n,
        provider: "p".into(),
        model: format!("m{n}").into(),
        reserved: Nanos(9_000),
        ..AttemptRow::default()
    };
    let Some(cost) = cost else { return sent };
    let (usage, cost) = (Some(Usage { input: 7, output: u64::from(n), ..Usage::default() }), Some(Nanos(cost)));
    let (status, error_code, latency_us) = (Status::Error, Some("not_accepted_judge".into()), 77);
    AttemptRow { status, http_status: Some(200), error_code, retryable: true, latency_us, usage, cost, ..sent }
}

/// Writes what a call of three attempts writes: the second's intent has the end of the first, and two records that of the second,
/// of which the later counts.
async fn three_attempts(ledger: &Ledger) -> Settlement {
    let mut one = settlement(now());
    one.attempts = vec![attempt(1, Some(100)), attempt(2, Some(200)), attempt(3, Some(400))];
    one.request.cost = Some(Nanos(700));
    let (request, mut held) = (&*one.request, SegmentRefs::default());
    let intend = |n: u32, ended: &[AttemptRow], held: &mut SegmentRefs| {
        let sent = attempt(n, None);
        ledger.intend(&Intent { request, attempt: &sent, ended }, held)
    };
    intend(1, &[], &mut held).await.unwrap();
    intend(2, &one.attempts[..1], &mut held).await.unwrap();
    let looked_at = AttemptRow { status: Status::Ok, error_code: None, ..one.attempts[1].clone() };
    ledger.note_ends(request.id, &[looked_at], &mut held);
    ledger.note_ends(request.id, &one.attempts[1..2], &mut held);
    intend(3, &[], &mut held).await.unwrap();
    ledger.settle(one.clone(), held).await.unwrap();
    one
}

/// What a start makes of these files of the journal: status, cost and code of each attempt, and the request's cost and tokens.
async fn taken_up(files: &[&[u8]], one: &Settlement) -> (Vec<String>, String) {
    let place = Place::new().await;
    for (number, bytes) in (1..).zip(files) {
        std::fs::write(segment_path(place.db.path(), number), bytes).unwrap();
    }
    let mut seen = None;
    for _ in 0..2 {
        place.ledger().await.close().await.unwrap();
        assert_eq!(place.intents(), 0);
        let Some(Recorded { request, attempts, .. }) = place.request(one.request.id).await else { continue };
        let code = |row: &AttemptRow| row.error_code.clone().unwrap_or("-".into());
        let shown =
            |row: &AttemptRow| format!("{} {} {}", row.status.text(), row.cost.unwrap_or_default().0, code(row));
        let cost = request.cost.unwrap_or_default().0;
        let tokens = request.usage.unwrap_or_default();
        let sum = format!("{} {} {}+{}", request.status.text(), cost, tokens.input, tokens.output);
        assert_eq!(place.number("select sum(cost) from full_attempts").await, cost);
        assert_eq!(place.number("select sum(cost) from rollups").await, cost);
        let now: (Vec<String>, String) = (attempts.iter().map(shown).collect(), sum);
        assert_eq!(seen.get_or_insert_with(|| now.clone()), &now, "a second start changes nothing");
    }
    seen.unwrap_or_default()
}

#[tokio::test]
async fn an_attempt_that_had_ended_keeps_its_status_and_cost_wherever_the_journal_ends() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let mut other = place.db.connect().await.unwrap();
    other.execute("begin immediate").await.unwrap();
    let one = three_attempts(&ledger).await;
    let bytes = std::fs::read(segment_path(place.db.path(), 1)).unwrap();
    other.execute("commit").await.unwrap();
    ledger.close().await.unwrap();
    let ends = found::ends(&bytes);
    let code = "not_accepted_judge";
    let (first, second) = (format!("error 100 {code}"), format!("error 200 {code}"));
    let open = || "unknown 9000 -".to_owned();
    let by_records = [
        (vec![], String::new()),
        (vec![open()], "unknown 9000 0+0".to_owned()),
        (vec![first.clone(), open()], "unknown 9100 7+1".to_owned()),
        (vec![first.clone(), "ok 200 -".to_owned()], "unknown 300 14+3".to_owned()),
        (vec![first.clone(), second.clone()], "unknown 300 14+3".to_owned()),
        (vec![first.clone(), second.clone(), open()], "unknown 9300 14+3".to_owned()),
        (vec![first, second, format!("error 400 {code}")], "ok 700 10+5".to_owned()),
    ];
    assert_eq!(ends.len(), by_records.len() - 1);
    for (records, expected) in by_records.iter().enumerate() {
        let whole = if records == 0 { 0 } else { ends[records - 1] };
        let next = ends.get(records).copied().unwrap_or(bytes.len());
        // The next record is missing, or torn.
        for end in [whole, (whole + 3).min(next), next.max(whole + 1) - 1] {
            assert_eq!(&taken_up(&[&bytes[..end.min(bytes.len())]], &one).await, expected, "{records} records, {end}");
        }
        // A call may have gone to another thread, whose file has another number.
        let (before, after) = bytes[..whole].split_at(ends[0].min(whole));
        assert_eq!(&taken_up(&[after, before], &one).await, expected, "{records} records in two files");
    }
}

#[tokio::test]
async fn a_settlement_that_does_not_fit_is_kept_until_it_does_and_stops_no_start() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let refuse = "create trigger unfit before insert on requests when new.user_id = 'unfit' \
                  begin select raise(abort, 'unfit'); end";
    place.db.write().execute(refuse).await.unwrap();
    let mut unfit = settlement(now());
    unfit.request.user = Some("unfit".into());
    ledger.settle(settlement(now()), SegmentRefs::default()).await.unwrap();
    ledger.settle(unfit, SegmentRefs::default()).await.unwrap();
    ledger.close().await.unwrap_err();
    assert_eq!((place.number("select count(*) from requests").await, place.intents()), (1, 1));
    let next = copy(&place).await;
    next.ledger().await.close().await.unwrap();
    place.db.write().execute("drop trigger unfit").await.unwrap();
    place.ledger().await.close().await.unwrap();
    assert_eq!((place.number("select count(*) from requests").await, place.intents()), (2, 0));
}

#[tokio::test]
async fn a_command_takes_up_what_a_crash_left_and_lets_go() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let mut other = place.db.connect().await.unwrap();
    other.execute("begin immediate").await.unwrap();
    ledger.settle(settlement(now()), SegmentRefs::default()).await.unwrap();
    let next = copy(&place).await;
    // Beside a running gateway it takes nothing.
    assert!(!Ledger::beside(&place.db, quick()).await.healthy());
    assert_eq!(place.intents(), 1);
    let beside = Ledger::beside(&next.db, quick()).await;
    assert_eq!((next.number("select count(*) from requests").await, next.intents()), (1, 0));
    assert!(!beside.healthy());
    next.ledger().await.close().await.unwrap();
    other.execute("commit").await.unwrap();
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn what_a_process_of_before_the_records_left_is_taken_up() {
    let place = Place::new().await;
    let lines = include_bytes!("../../../tests/fixtures/journal/text-lines");
    let path = path_of_lines(place.db.path(), 1);
    std::fs::write(&path, lines).unwrap();
    for _ in 0..2 {
        let ledger = place.ledger().await;
        for (sql, expected) in [
            ("select count(*) from full_requests", 8),
            ("select sum(requests) from full_rollups", 8),
            ("select count(*) from full_attempts", 9),
            (
                "select count(*) from full_requests where status = 'unknown' and user_id like 'cut-off%' and cost = 2057000",
                2,
            ),
            ("select count(*) from full_requests where status = 'ok' and input_tokens = 7 and cost = 27000", 5),
            ("select count(*) from full_requests where status = 'error' and http_status = 502", 1),
            ("select count(*) from full_requests where tags = '{\"team\":\"search\",\"tier\":\"gold\"}'", 3),
            ("select count(*) from full_requests where user_id = 'tab\tnew\nline\\ü' and stream = 1", 1),
            ("select count(*) from full_attempts where n = 2 and status = 'ok'", 1),
            ("select count(*) from full_attempts where http_status = 503 and retryable = 1", 2),
        ] {
            assert_eq!(place.number(sql).await, expected, "{sql}");
        }
        assert_eq!((place.intents(), path.exists()), (0, false));
        ledger.close().await.unwrap();
    }
}

/// What a gateway of 2026-11-29 left, which wrote no ends, when it was killed in a cascade's and in a fallback's second attempt.
#[tokio::test]
async fn what_a_process_left_that_wrote_no_ends_is_taken_up() {
    let place = Place::new().await;
    let records = include_bytes!("../../../tests/fixtures/journal/records-without-ends");
    std::fs::write(segment_path(place.db.path(), 1), records).unwrap();
    for _ in 0..2 {
        place.ledger().await.close().await.unwrap();
        for (sql, expected) in [
            ("select count(*) from full_requests", 4),
            ("select count(*) from full_requests where status = 'ok' and output_tokens = 5", 2),
            ("select count(*) from full_attempts where status = 'error' and http_status = 500 and cost = 0", 1),
            (
                "select count(*) from full_requests where status = 'unknown' and model = 'strong-x' and output_tokens is null",
                2,
            ),
            ("select count(*) from full_attempts where status = 'unknown' and cost = reserved and cost > 0", 4),
            ("select count(*) from full_attempts", 7),
            ("select sum(cost) from full_requests", 1_302_000),
            ("select sum(cost) from full_attempts", 1_302_000),
        ] {
            assert_eq!(place.number(sql).await, expected, "{sql}");
        }
        assert_eq!(place.intents(), 0);
    }
}

#[tokio::test]
async fn records_lie_where_a_process_of_before_them_does_not_look() {
    let place = Place::new().await;
    assert_ne!(segment_path(place.db.path(), 1), path_of_lines(place.db.path(), 1));
    let ledger = place.ledger().await;
    let request = settlement(now()).request;
    let attempt = AttemptRow { n: 1, ..AttemptRow::default() };
    ledger
        .intend(&Intent { request: &request, attempt: &attempt, ended: &[] }, &mut SegmentRefs::default())
        .await
        .unwrap();
    assert!(segment_path(place.db.path(), 1).exists() && !path_of_lines(place.db.path(), 1).exists());
    ledger.close().await.unwrap();
}
