//! Storing, purging and sharing answers.

#![expect(clippy::disallowed_methods, reason = "callers of a test are tasks, and it waits for them")]

use super::*;
use crate::chat::{self, Code, Usage};
use crate::types::Nanos;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn later(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

fn key(n: u32) -> CacheKey {
    let text = n.to_string();
    let mut keyer = Keyer::new(Scope::Project("default"), "openai", "gpt", "chat");
    keyer.field("n", text.as_bytes());
    keyer.finish()
}

fn entry(body: &str) -> Entry {
    Entry {
        body: Bytes::copy_from_slice(body.as_bytes()),
        dialect: crate::wire::DialectId::OpenAiChat,
        usage: None,
        cost: Some(Nanos(5)),
        stored_at: NOW,
        ttl: Duration::from_secs(60),
        project: "default".into(),
        provider: "openai".into(),
        simulated: false,
        model: "gpt".into(),
        prompt: None,
        replay: Replay::default(),
    }
}

fn cache() -> Cache<u16> {
    Cache::new(1 << 20)
}

fn lead(join: Join<u16>) -> Lead<u16> {
    match join {
        Join::Lead(lead) => lead,
        Join::Follow(_) => panic!("follows"),
        Join::Hit(_) => panic!("hits"),
    }
}

fn follow(join: Join<u16>) -> Follower<u16> {
    match join {
        Join::Follow(follower) => follower,
        Join::Lead(_) => panic!("leads"),
        Join::Hit(_) => panic!("hits"),
    }
}

fn join(cache: &Cache<u16>) -> Join<u16> {
    cache.join(key(1), key(1), NOW, None)
}

fn chunk(n: usize) -> Bytes {
    Bytes::from(format!("chunk {n}"))
}

/// All a follower sees: its chunks and how it ended.
async fn all(mut follower: Follower<u16>) -> (Vec<Bytes>, Option<Aborted>) {
    let mut chunks = Vec::new();
    while let Some(next) = follower.next().await {
        match next {
            Ok(chunk) => chunks.push(chunk),
            Err(aborted) => return (chunks, Some(aborted)),
        }
    }
    (chunks, None)
}

#[test]
fn an_answer_is_given_until_its_time_or_the_callers() {
    let cache = cache();
    assert!(cache.put(key(1), entry("a")));
    let get = |now, max_age: Option<u64>| cache.get(&key(1), now, max_age.map(Duration::from_secs));
    assert_eq!(get(later(59), None).unwrap().age(later(59)), Duration::from_secs(59));
    assert!(get(later(60), None).is_none());
    assert!(get(later(10), Some(10)).is_some());
    assert!(get(later(11), Some(10)).is_none());
    assert!(get(NOW, Some(0)).is_none());
    assert!(get(later(11), None).is_some());
    assert!(cache.get(&key(2), NOW, None).is_none());
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.stored, stats.entries), (3, 4, 1, 1));
}

#[test]
fn the_cache_holds_no_more_than_its_bytes() {
    let cache = cache();
    for n in 0..2_000 {
        cache.put(key(n), entry(&"x".repeat(10_000)));
    }
    let stats = cache.stats();
    assert!(stats.bytes <= 1 << 20, "{stats:?}");
    assert!(stats.entries > 80, "{stats:?}");
    assert!(!cache.put(key(1), entry(&"x".repeat(1 << 17))), "an eighth is too large");
    assert!(!cache.put(key(1), Entry { ttl: Duration::ZERO, ..entry("x") }));
    assert!(!Cache::<()>::new(0).put(key(1), entry("x")));
}

#[test]
fn the_other_form_is_made_once_and_weighed() {
    let cache = cache();
    cache.put(key(1), entry("a"));
    let before = cache.stats().bytes;
    let held = cache.get(&key(1), NOW, None).unwrap();
    assert_eq!(cache.replay(key(1), &held, || Bytes::from(vec![1; 1_000])).len(), 1_000);
    assert_eq!(cache.replay(key(1), &held, || panic!("made again")).len(), 1_000);
    assert_eq!(cache.stats().bytes, before + 1_000);
}

#[test]
fn a_purged_answer_is_not_brought_back_by_its_other_form() {
    let cache = cache();
    cache.put(key(1), entry("a"));
    let held = cache.get(&key(1), NOW, None).unwrap();
    cache.purge(&Purge::All);
    cache.replay(key(1), &held, || Bytes::from_static(b"b"));
    assert!(cache.get(&key(1), NOW, None).is_none());
}

#[test]
fn a_purge_takes_exactly_what_it_names() {
    let name: PromptName = "support".parse().unwrap();
    let entries = || {
        [
            Entry { prompt: Some((name.clone(), 1)), ..entry("") },
            Entry { prompt: Some((name.clone(), 2)), ..entry("") },
            Entry { prompt: Some(("other".parse().unwrap(), 1)), project: "web".into(), ..entry("") },
            Entry { model: "gpt-mini".into(), ..entry("") },
            Entry { provider: "local".into(), project: "web".into(), ..entry("") },
        ]
    };
    for (purge, left) in [
        (Purge::All, ""),
        (Purge::Prompt { name: name.clone(), version: None }, "234"),
        (Purge::Prompt { name: name.clone(), version: Some(2) }, "0234"),
        (Purge::Model("gpt".into()), "3"),
        (Purge::Model("openai/gpt".into()), "34"),
        (Purge::Model("open".into()), "01234"),
        (Purge::Project("web".into()), "013"),
    ] {
        let cache = cache();
        for (n, entry) in (0..).zip(entries()) {
            cache.put(key(n), entry);
        }
        let gone = cache.purge(&purge);
        let rest: String =
            (0..5u32).filter(|n| cache.get(&key(*n), NOW, None).is_some()).map(|n| n.to_string()).collect();
        assert_eq!(rest, left, "{purge:?}");
        assert_eq!(gone, 5 - left.len() as u64, "{purge:?}");
        assert_eq!(cache.stats().entries, left.len() as u64);
    }
}

#[test]
fn a_purge_of_many_leaves_none() {
    let cache = Cache::<()>::new(64 << 20);
    for n in 0..5_000 {
        cache.put(key(n), Entry { project: if n % 2 == 0 { "even".into() } else { "odd".into() }, ..entry("x") });
    }
    assert_eq!(cache.purge(&Purge::Project("even".into())), 2_500);
    assert!((0..5_000).all(|n| cache.get(&key(n), NOW, None).is_some() == (n % 2 == 1)));
}

#[tokio::test]
async fn a_hundred_followers_see_every_chunk_in_order() {
    let cache = cache();
    let mut lead = lead(join(&cache));
    let mut tasks = Vec::new();
    for n in 0..300 {
        if n % 3 == 0 {
            tasks.push(tokio::spawn(all(follow(join(&cache)))));
        }
        lead.push(chunk(n));
        tokio::task::yield_now().await;
    }
    assert_eq!(lead.followers(), 100);
    lead.finish(Outcome::Complete(Spent::default()));
    let expected: Vec<Bytes> = (0..300).map(chunk).collect();
    for task in tasks {
        let (chunks, aborted) = task.await.unwrap();
        assert!(aborted.is_none());
        assert_eq!(chunks, expected);
    }
}

#[tokio::test]
async fn of_a_hundred_equal_calls_at_once_one_goes_out() {
    let cache = Arc::new(cache());
    let calls = Arc::new(AtomicU64::new(0));
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (cache, calls) = (cache.clone(), calls.clone());
            tokio::spawn(async move {
                if let Some(hit) = cache.get(&key(1), NOW, None) {
                    return hit.body.clone();
                }
                tokio::task::yield_now().await;
                match join(&cache) {
                    Join::Hit(hit) => hit.body.clone(),
                    Join::Follow(follower) => all(follower).await.0.concat().into(),
                    Join::Lead(mut lead) => {
                        calls.fetch_add(1, Ordering::Relaxed);
                        tokio::task::yield_now().await;
                        lead.push(Bytes::from_static(b"answer"));
                        cache.put(key(1), entry("answer"));
                        lead.finish(Outcome::Complete(Spent::default()));
                        Bytes::from_static(b"answer")
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), "answer");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test]
async fn a_dropped_lead_tells_its_followers_and_the_next_call_leads() {
    let cache = cache();
    let mut first = lead(join(&cache));
    let mut waits_for_head = follow(join(&cache));
    let reads = follow(join(&cache));
    first.push(chunk(0));
    drop(first);
    let (chunks, aborted) = all(reads).await;
    assert_eq!(chunks, [chunk(0)]);
    assert!(matches!(aborted, Some(Aborted::Lost)));
    assert!(matches!(waits_for_head.head().await, Err(Aborted::Lost)));
    lead(join(&cache));
}

#[tokio::test]
async fn a_lead_that_panics_leaves_nothing_behind() {
    let cache = Arc::new(cache());
    let mut lead = lead(join(&cache));
    let follower = follow(join(&cache));
    let task = tokio::spawn(async move {
        lead.push(chunk(0));
        panic!("in the lead's task");
    });
    assert!(task.await.is_err());
    assert!(matches!(all(follower).await.1, Some(Aborted::Lost)));
    assert_eq!(cache.stats().flights, 0);
}

#[tokio::test]
async fn a_failed_call_fails_its_followers_with_the_same_error() {
    let cache = cache();
    let mut lead = lead(join(&cache));
    let mut before = follow(join(&cache));
    let during = follow(join(&cache));
    lead.push(chunk(0));
    lead.finish(Outcome::Failed(chat::Error::new(Code::UpstreamError, "broken")));
    let Err(Aborted::Failed(error)) = before.head().await else { panic!("has a head") };
    assert_eq!(error.message, "broken");
    let (chunks, aborted) = all(during).await;
    assert_eq!(chunks.len(), 1);
    assert!(matches!(aborted, Some(Aborted::Failed(_))));
}

#[tokio::test]
async fn a_follower_sees_the_head_and_what_was_spent() {
    let cache = cache();
    let mut lead = lead(join(&cache));
    let mut early = follow(join(&cache));
    lead.head(200);
    let mut late = follow(join(&cache));
    assert_eq!((early.head().await.unwrap(), late.head().await.unwrap()), (200, 200));
    assert_eq!(late.spent(), None);
    lead.push(chunk(0));
    let spent = Spent { usage: Some(Usage { input: 3, ..Usage::default() }), cost: Some(Nanos(7)) };
    lead.finish(Outcome::Complete(spent));
    assert_eq!(late.next().await.unwrap().unwrap(), chunk(0));
    assert!(late.next().await.is_none() && late.next().await.is_none());
    assert_eq!(late.spent(), Some(spent));
}

#[tokio::test]
async fn who_comes_after_the_end_leads_or_hits() {
    let cache = cache();
    lead(join(&cache)).finish(Outcome::Complete(Spent::default()));
    let next = lead(join(&cache));
    cache.put(key(1), entry("a"));
    next.finish(Outcome::Complete(Spent::default()));
    assert!(matches!(join(&cache), Join::Hit(_)));
    assert!(matches!(cache.join(key(1), key(1), later(60), None), Join::Lead(_)));
    assert!(matches!(cache.join(key(1), key(1), later(9), Some(Duration::from_secs(5))), Join::Lead(_)));
}

#[tokio::test]
async fn a_flight_keeps_a_bounded_part_and_cuts_only_the_slow() {
    let cache = cache();
    let mut first = lead(join(&cache));
    let slow = follow(join(&cache));
    let mut quick = follow(join(&cache));
    for n in 0..20u8 {
        first.push(Bytes::from(vec![n; 1 << 20]));
        assert_eq!(quick.next().await.unwrap().unwrap()[0], n);
    }
    assert_eq!(first.followers(), 2);
    let mut second = lead(join(&cache));
    second.push(chunk(0));
    first.finish(Outcome::Complete(Spent::default()));
    assert!(quick.next().await.is_none());
    assert!(matches!(all(slow).await.1, Some(Aborted::Behind)));
    let mut third = follow(join(&cache));
    assert_eq!(third.next().await.unwrap().unwrap(), chunk(0), "the first's end left the second's flight alone");
    drop(second);
}

#[tokio::test]
async fn memory_is_released_with_the_last_who_reads() {
    let cache = cache();
    let mut lead = lead(join(&cache));
    let mut follower = follow(join(&cache));
    let chunk = Arc::new(vec![7u8; 1_000]);
    struct Shared(Arc<Vec<u8>>);
    impl AsRef<[u8]> for Shared {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    lead.push(Bytes::from_owner(Shared(chunk.clone())));
    lead.finish(Outcome::Complete(Spent::default()));
    assert_eq!(Arc::strong_count(&chunk), 2, "held for the follower");
    drop(follower.next().await);
    drop(follower);
    assert_eq!(Arc::strong_count(&chunk), 1);
}

#[test]
fn a_question_is_looked_up_before_its_own_dialects_fields() {
    let cache = cache();
    let keys = Keys { question: Some(key(1)), own: key(2) };
    let alone = Keys { question: None, own: key(2) };
    let look = |keys: &Keys, can_express: fn(&str) -> bool| {
        let translate = |place: CacheKey, entry: &Arc<Entry>| {
            let text = String::from_utf8(entry.body.to_vec()).unwrap();
            can_express(&text).then_some((place, text))
        };
        match cache.look(keys, NOW, None, translate) {
            Look::Hit(found) => found,
            Look::Miss(place) => (place, "miss".to_owned()),
        }
    };
    let (any, not_shared) = (|_: &str| true, |text: &str| text != "shared");
    assert_eq!(look(&keys, any), (key(1), "miss".to_owned()));
    assert_eq!(look(&alone, any), (key(2), "miss".to_owned()));
    cache.put(key(1), entry("shared"));
    assert_eq!(look(&keys, any), (key(1), "shared".to_owned()));
    assert_eq!(look(&alone, any), (key(2), "miss".to_owned()));
    // An answer that the caller's dialect cannot express stays stored.
    assert_eq!(look(&keys, not_shared), (key(2), "miss".to_owned()));
    cache.put(key(2), entry("own"));
    assert_eq!(look(&keys, not_shared), (key(2), "own".to_owned()));
    assert_eq!(look(&keys, any), (key(1), "shared".to_owned()));
    let stats = cache.stats();
    assert_eq!((stats.hits, stats.misses, stats.entries), (3, 4, 2));
}
