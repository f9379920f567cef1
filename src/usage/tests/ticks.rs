//! What a worker's calls note in one tick of its event loop is written together, and each is told.

#![expect(clippy::disallowed_methods, reason = "callers of a test are tasks, and it waits for them")]

use futures_util::future::join_all;
use tokio::task::{JoinHandle, yield_now};

use super::*;
use crate::usage::journal::found;
use crate::usage::journal::segment::segment_path;

/// Has a ledger write by ticks on this thread.
async fn by_ticks(ledger: &Ledger) -> JoinHandle<()> {
    let writer = tokio::spawn(ledger.clone().write_by_ticks());
    yield_now().await;
    writer
}

/// The intents and the settlements in the journal's first file.
fn lines(place: &Place) -> (usize, usize) {
    let found = found::read(&segment_path(place.db.path(), 1)).unwrap_or_default();
    (found.intents.len(), found.settlements.len())
}

#[tokio::test]
async fn no_call_goes_on_before_all_of_its_tick_are_in_the_file() {
    let place = std::sync::Arc::new(Place::new().await);
    let ledger = place.ledger().await;
    let _writer = by_ticks(&ledger).await;
    let calls = (0..20).map(|_| {
        let (ledger, place) = (ledger.clone(), place.clone());
        tokio::spawn(async move {
            let one = settlement(now());
            let mut held = SegmentRefs::default();
            let intent = Intent { request: &one.request, attempt: &one.attempts[0], ended: &[] };
            let mut intended = ledger.intend(&intent, &mut held);
            assert_eq!(((&mut intended).now_or_never(), lines(&place)), (None, (0, 0)));
            intended.await.unwrap();
            let sent = lines(&place);
            ledger.settle(one, held).await.unwrap();
            (sent, lines(&place))
        })
    });
    for seen in join_all(calls).await {
        assert_eq!(seen.unwrap(), ((20, 0), (20, 20)));
    }
    ledger.flush().await;
    assert_eq!(place.number("select count(*) from requests").await, 20);
    assert_eq!(place.number("select count(*) from full_attempts").await, 20);
    ledger.close().await.unwrap();
    assert_eq!(place.intents(), 0);
}

#[tokio::test]
async fn ends_that_nobody_waits_for_are_written_with_their_tick() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let _writer = by_ticks(&ledger).await;
    let one = settlement(now());
    let mut held = SegmentRefs::default();
    let intent = Intent { request: &one.request, attempt: &one.attempts[0], ended: &[] };
    ledger.intend(&intent, &mut held).await.unwrap();
    let path = segment_path(place.db.path(), 1);
    let ends = || found::read(&path).unwrap().ends;
    ledger.note_ends(one.request.id, &one.attempts, &mut held);
    assert!(ends().is_empty());
    yield_now().await;
    assert_eq!(ends(), [(one.request.id, one.attempts[0].clone())]);
    ledger.settle(one, held).await.unwrap();
    ledger.close().await.unwrap();
    assert_eq!(place.intents(), 0, "the file goes once the request is committed");
}

#[tokio::test]
async fn a_tick_that_cannot_be_written_is_told_to_every_call_of_it() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let _writer = by_ticks(&ledger).await;
    let mut all: Vec<_> = (0..3).map(|_| (settlement(now()), SegmentRefs::default())).collect();
    let intend = |(one, held): &mut (Settlement, SegmentRefs)| {
        ledger.intend(&Intent { request: &one.request, attempt: &one.attempts[0], ended: &[] }, held)
    };
    assert!(join_all(all.iter_mut().map(intend)).await.iter().all(Result::is_ok));
    ledger.shared.journal.break_files();
    let intended = join_all(all.iter_mut().map(intend)).await;
    assert_eq!(intended, [Err(Unavailable); 3]);
    // What the journal could not take, the database still does.
    ledger.shared.journal.break_files();
    let acks: Vec<_> = all.into_iter().map(|(one, held)| ledger.settle(one, held)).collect();
    assert_eq!(join_all(acks).await, [Ok(()); 3]);
    assert_eq!(place.number("select count(*) from requests").await, 3);
    // The next line begins another file.
    assert!(ledger.healthy());
    ledger.close().await.unwrap();
}

#[tokio::test]
async fn what_was_noted_when_its_writer_goes_is_written_and_later_lines_at_once() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let writer = by_ticks(&ledger).await;
    let ack = ledger.settle(settlement(now()), SegmentRefs::default());
    writer.abort();
    assert!(writer.await.unwrap_err().is_cancelled());
    assert_eq!(lines(&place), (0, 1));
    ack.await.unwrap();
    assert_eq!(ledger.settle(settlement(now()), SegmentRefs::default()).now_or_never(), Some(Ok(())));
    ledger.close().await.unwrap();
    assert_eq!(place.number("select count(*) from requests").await, 2);
}

#[tokio::test]
async fn nobody_need_wait_for_a_row_to_be_written() {
    let place = Place::new().await;
    let ledger = place.ledger().await;
    let _writer = by_ticks(&ledger).await;
    drop(ledger.settle(settlement(now()), SegmentRefs::default()));
    ledger.flush().await;
    assert_eq!(place.number("select count(*) from requests").await, 1);
    drop(ledger.settle(settlement(now()), SegmentRefs::default()));
    ledger.close().await.unwrap();
    assert_eq!(place.number("select count(*) from requests").await, 2);
}

#[tokio::test]
async fn a_disk_that_must_keep_a_line_is_waited_for_once_a_tick() {
    let place = Place::new().await;
    let ledger = place.durable().await;
    let _writer = by_ticks(&ledger).await;
    let mut all: Vec<_> = (0..5).map(|_| (settlement(now()), SegmentRefs::default())).collect();
    let intended = all.iter_mut().map(|(one, held)| {
        ledger.intend(&Intent { request: &one.request, attempt: &one.attempts[0], ended: &[] }, held)
    });
    assert!(join_all(intended).await.iter().all(Result::is_ok));
    assert_eq!(lines(&place), (5, 0));
    let acks: Vec<_> = all.into_iter().map(|(one, held)| ledger.settle(one, held)).collect();
    assert!(join_all(acks).await.iter().all(Result::is_ok));
    assert_eq!(place.number("select count(*) from requests").await, 5);
    ledger.close().await.unwrap();
}
