//! Keys on a real database.

use bytes::Bytes;
use futures_util::FutureExt;

use super::recording::MOST_OF_ALL;
use super::stored_answer::LARGEST;
use super::*;
use crate::db::scratch::{Scratch, on_each};
use crate::types::RequestId;

const HOUR: i64 = 3_600_000_000;
const START: Timestamp = Timestamp(1_700_000_000_000_000);

struct Fixture {
    keys: Idempotency,
    scratch: Scratch,
}

async fn open(scratch: &Scratch, max_size: u64) -> Idempotency {
    let db = scratch.another().await;
    Idempotency::open(db, Bounds { ttl: Duration::from_secs(86_400), max_size })
}

impl Fixture {
    async fn new(scratch: Scratch) -> Self {
        Self { keys: open(&scratch, 1 << 20).await, scratch }
    }

    /// What a process that starts after a crash finds.
    async fn started_again(self) -> Self {
        let Self { scratch, .. } = self;
        Self { keys: open(&scratch, 1 << 20).await, scratch }
    }

    async fn claim(&self, asked: Asked) -> Result<Claimed, Error> {
        self.keys.claim(asked).await
    }

    async fn first(&self, asked: Asked) -> Claim {
        match self.claim(asked).await {
            Ok(Claimed::First(claim)) => claim,
            other => panic!("{other:?}"),
        }
    }
}

fn answer(body: &[u8]) -> StoredAnswer {
    StoredAnswer { body: Bytes::copy_from_slice(body), ..StoredAnswer::default() }
}

fn asked(key: &str, body: &str, hours: i64) -> Asked {
    asked_by("p", key, body, hours)
}

fn asked_by(project: &str, key: &str, body: &str, hours: i64) -> Asked {
    let request = (RequestId::new(), Timestamp(START.0 + hours * HOUR));
    Asked::new(request, project, &[project.as_bytes(), b"/v1", key.as_bytes()], &[body.as_bytes()])
}

#[tokio::test]
async fn the_first_call_is_made_and_its_answer_is_given_again_for_a_day() {
    on_each(async |scratch| {
        let fixture = Fixture::new(scratch).await;
        let first = asked("a", "x", 0);
        let claim = fixture.first(first).await;
        let answer = StoredAnswer {
            request: first.request,
            model: Some("up/m".into()),
            simulated: true,
            kind: Some("audio/mpeg".into()),
            is_stream: true,
            body: Bytes::from_static(b"answer"),
        };
        claim.store(answer.clone()).await;
        for fixture in [fixture.started_again().await] {
            let Ok(Claimed::Again(again)) = fixture.claim(asked("a", "x", 24)).await else {
                panic!("the answer is sent again")
            };
            assert_eq!(again, answer);
            assert_eq!(fixture.claim(asked("a", "y", 1)).await.unwrap_err(), Error::Mismatch(first.request));
            assert!(matches!(fixture.claim(asked("a", "y", 25)).await, Ok(Claimed::First(_))), "it is forgotten");
        }
    })
    .await;
}

#[tokio::test]
async fn only_one_of_two_at_once_is_made() {
    on_each(async |scratch| {
        let fixture = Fixture::new(scratch).await;
        let first = asked("a", "x", 0);
        let claim = fixture.first(first).await;
        assert_eq!(fixture.claim(asked("a", "x", 0)).await.unwrap_err(), Error::InProgress(first.request));
        assert_eq!(fixture.claim(asked("a", "y", 0)).await.unwrap_err(), Error::Mismatch(first.request));
        drop(fixture.first(asked("b", "x", 0)).await);
        drop(claim);
        drop(fixture.first(asked("a", "y", 0)).await);
    })
    .await;
}

#[tokio::test]
async fn many_who_ask_again_at_once_all_get_the_answer() {
    on_each(async |scratch| {
        let fixture = Fixture::new(scratch).await;
        fixture.first(asked("a", "x", 0)).await.store(answer(b"answer")).await;
        let again = futures_util::future::join_all((0..50).map(|_| fixture.claim(asked("a", "x", 0)))).await;
        assert!(again.iter().all(|claimed| matches!(claimed, Ok(Claimed::Again(_)))), "{again:?}");
    })
    .await;
}

#[tokio::test]
async fn of_many_at_once_one_is_made_and_the_key_is_free_when_that_one_failed() {
    on_each(async |scratch| {
        let fixture = Fixture::new(scratch).await;
        for _ in 0..3 {
            let claims = futures_util::future::join_all((0..50).map(|_| fixture.claim(asked("a", "x", 0)))).await;
            let first = claims.iter().filter(|claimed| matches!(claimed, Ok(Claimed::First(_)))).count();
            let refused = claims.iter().filter(|claimed| matches!(claimed, Err(Error::InProgress(_)))).count();
            assert_eq!((first, refused), (1, 49));
        }
    })
    .await;
}

#[tokio::test]
async fn who_leaves_while_asking_leaves_the_key_free() {
    on_each(async |scratch| {
        let fixture = Fixture::new(scratch).await;
        for _ in 0..20 {
            assert!(fixture.claim(asked("a", "x", 0)).now_or_never().is_none(), "the database is asked first");
        }
        drop(fixture.first(asked("b", "x", 0)).await);
        drop(fixture.first(asked("a", "x", 0)).await);
    })
    .await;
}

#[tokio::test]
async fn what_a_crash_cut_off_is_never_made_again() {
    on_each(async |scratch| {
        let fixture = Fixture::new(scratch).await;
        let first = asked("a", "x", 0);
        std::mem::forget(fixture.first(first).await);
        let fixture = fixture.started_again().await;
        for _ in 0..2 {
            assert_eq!(fixture.claim(asked("a", "x", 0)).await.unwrap_err(), Error::CutOff(first.request));
        }
        drop(fixture.first(asked("a", "x", 25)).await);
    })
    .await;
}

#[tokio::test]
async fn an_answer_too_large_is_not_kept_and_its_call_is_not_made_again() {
    on_each(async |scratch| {
        let fixture = Fixture::new(scratch).await;
        let first = asked("a", "x", 0);
        fixture.first(first).await.store(answer(&vec![b'x'; LARGEST + 1])).await;
        assert_eq!(fixture.claim(asked("a", "x", 0)).await.unwrap_err(), Error::NotStored(first.request));
    })
    .await;
}

#[tokio::test]
async fn what_is_recorded_of_all_answers_at_once_is_bounded() {
    on_each(async |scratch| {
        let fixture = Fixture::new(scratch).await;
        let piece = vec![b'x'; LARGEST];
        let (mut all, mut last) = (Vec::new(), asked("0", "x", 0));
        for n in 0..=MOST_OF_ALL / LARGEST {
            last = asked(&n.to_string(), "x", 0);
            let mut recording = Recording::of(fixture.first(last).await);
            recording.take(&piece);
            all.push(recording);
        }
        let small = asked("small", "x", 0);
        let mut recording = Recording::of(fixture.first(small).await);
        recording.take(&piece[..1024]);
        recording.store(answer(b"")).await;
        assert!(matches!(fixture.claim(small).await, Ok(Claimed::Again(answer)) if answer.body.len() == 1024));
        all.pop().unwrap().store(answer(b"")).await;
        assert_eq!(fixture.claim(last).await.unwrap_err(), Error::NotStored(last.request));
        drop(all);
        let next = asked("next", "x", 0);
        let mut recording = Recording::of(fixture.first(next).await);
        recording.take(&piece[..512 << 10]);
        recording.store(answer(b"")).await;
        assert!(matches!(fixture.claim(next).await, Ok(Claimed::Again(answer)) if answer.body.len() == 512 << 10));
    })
    .await;
}

#[tokio::test]
async fn the_oldest_answers_go_where_all_take_too_much() {
    on_each(async |scratch| {
        let fixture = Fixture::new(scratch).await;
        let running = fixture.first(asked("running", "x", -1)).await;
        for n in 0..200 {
            fixture.first(asked(&n.to_string(), "x", 0)).await.store(answer(&[b'x'; 16 << 10])).await;
        }
        let again = |n: usize| fixture.claim(asked(&n.to_string(), "x", 0));
        assert!(
            matches!(again(0).await, Err(Error::NotStored(_))),
            "the oldest is gone, and its call is not made again"
        );
        assert!(matches!(again(199).await, Ok(Claimed::Again(_))), "the youngest is there");
        running.store(answer(b"late")).await;
        assert!(
            matches!(fixture.claim(asked("running", "x", 0)).await, Ok(Claimed::Again(_))),
            "the record of a running call stays"
        );
    })
    .await;
}

#[tokio::test]
async fn one_projects_answers_push_out_its_own_and_no_keys() {
    on_each(async |scratch| {
        let keys = open(&scratch, 8 << 10).await;
        let fixture = Fixture { keys, scratch };
        fixture.first(asked_by("b", "theirs", "x", 0)).await.store(answer(&[b'b'; 1_024])).await;
        for n in 0..20 {
            fixture.first(asked_by("a", &n.to_string(), "x", 1)).await.store(answer(&[b'a'; 1_024])).await;
        }
        assert!(matches!(fixture.claim(asked_by("b", "theirs", "x", 2)).await, Ok(Claimed::Again(_))));
        for n in 0..20 {
            let again = fixture.claim(asked_by("a", &n.to_string(), "x", 2)).await;
            match n {
                0 => assert!(matches!(again, Err(Error::NotStored(_))), "{again:?}"),
                19 => assert!(matches!(again, Ok(Claimed::Again(_))), "{again:?}"),
                _ => assert!(!matches!(again, Ok(Claimed::First(_))), "no call is made twice: {n} {again:?}"),
            }
        }
    })
    .await;
}
