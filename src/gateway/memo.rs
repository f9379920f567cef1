//! Requests that were answered from the cache lately, as they were read: the same bytes need not be read a second time.
//!
//! Only reading is remembered, which depends on nothing but the bytes and the route that was called. Whose key it is, what the
//! rules say, and whether the answer is still kept is asked for every call. Each worker remembers its own, so nothing is locked.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;

use super::ask::{Api, Ask};
use super::plan::Work;
use crate::types::QuickMap;
use crate::wire::dialect::Addressed;
use crate::wire::openai_embeddings::EmbeddingsRequest;

/// The longest request that is remembered: reading a longer one costs more, but so does keeping it.
const LONGEST: usize = 32 << 10;

/// When so many bytes are remembered, all are let go of.
const MOST: usize = 1 << 20;

/// Besides its bytes, what a request that was read takes, about.
const OVERHEAD: usize = 2 << 10;

/// Bytes from each end by which requests are found; then all are compared.
const ENDS: usize = 64;

thread_local! {
    static MEMO: RefCell<Memo> = RefCell::default();
}

#[derive(Default)]
struct Memo {
    known: QuickMap<u64, Arc<Work>>,
    bytes: usize,
}

/// What was read of this request before.
pub(super) fn recall(ask: &Ask) -> Option<Arc<Work>> {
    MEMO.with_borrow(|memo| {
        if memo.known.is_empty() || ask.body.len() > LONGEST {
            return None;
        }
        let work = memo.known.get(&place_of(ask)?)?;
        is_of(work, ask).then(|| work.clone())
    })
}

/// Remembers what was read of a request. A stored prompt may change, so what it made is not remembered; nor is what an address
/// says, beside the body.
pub(super) fn remember(ask: &Ask, work: &Work) {
    let length = ask.body.len();
    if length > LONGEST || work.prompt.is_some() || ask.addressed.model.is_some() {
        return;
    }
    MEMO.with_borrow_mut(|memo| {
        let Some(place) = place_of(ask) else { return };
        if memo.known.get(&place).is_some_and(|work| is_of(work, ask)) {
            return;
        }
        // Read from a copy: a part of the buffer that it came in would keep all of it.
        let Some(work) = read(ask.api, Bytes::copy_from_slice(&ask.body)) else { return };
        if memo.bytes + length + OVERHEAD > MOST {
            *memo = Memo::default();
        }
        memo.bytes += length + OVERHEAD;
        memo.known.insert(place, Arc::new(work));
    });
}

/// Reads a request that names no stored prompt.
fn read(api: Api, body: Bytes) -> Option<Work> {
    match api {
        Api::Embeddings => EmbeddingsRequest::read(body).ok().map(Work::embeddings),
        Api::Chat | Api::Responses | Api::Messages => {
            let asked = api.speaks().dialect().read(body, &Addressed::default()).ok()?;
            Some(Work::of(api, asked, None))
        }
        _ => None,
    }
}

fn is_of(work: &Work, ask: &Ask) -> bool {
    work.api == ask.api && ask.addressed.model.is_none() && *work.object().bytes() == ask.body
}

/// Where a request is found; `None` of a route whose requests are not remembered.
fn place_of(ask: &Ask) -> Option<u64> {
    let route = match ask.api {
        Api::Chat => 1,
        Api::Embeddings => 2,
        Api::Responses => 3,
        Api::Messages => 4,
        _ => return None,
    };
    let body = &ask.body[..];
    let (first, last) = (&body[..body.len().min(ENDS)], &body[body.len().saturating_sub(ENDS)..]);
    Some(FixedState::with_seed(route).hash_one((first, last, body.len())))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tokio::time::Instant;

    use super::*;
    use crate::cache::Directive;
    use crate::keys::VirtualKey;
    use crate::types::{RequestId, now};

    fn ask(api: Api, body: &str) -> Ask {
        Ask {
            id: RequestId::new(),
            started: Instant::now(),
            started_at: now(),
            key: Arc::new(VirtualKey::operator(now())),
            api,
            addressed: Addressed::default(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            headers: HeaderMap::new(),
            tags: Vec::new(),
            session: None,
            user: None,
            cache: Directive::default(),
            timeout: None,
            background: false,
        }
    }

    fn chat(text: &str) -> Ask {
        let filler = "x".repeat(200);
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{filler}{text}{filler}"}}]}}"#);
        ask(Api::Chat, &body)
    }

    #[test]
    fn only_the_same_bytes_of_the_same_route_are_recalled() {
        let first = chat("a");
        assert!(recall(&first).is_none());
        remember(&first, &read(Api::Chat, first.body.clone()).unwrap());
        assert_eq!(recall(&first).unwrap().asked.model, "m");
        // Found in the same place, but for a byte in the middle.
        assert!(recall(&chat("b")).is_none());
        let elsewhere = Ask { api: Api::Messages, ..chat("a") };
        assert!(recall(&elsewhere).is_none());
        let addressed = Addressed { model: Some("other".to_owned()), stream: false };
        assert!(recall(&Ask { addressed, ..chat("a") }).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        for n in 0..2_000 {
            let one = chat(&n.to_string());
            remember(&one, &read(Api::Chat, one.body.clone()).unwrap());
        }
        MEMO.with_borrow(|memo| assert!(memo.bytes <= MOST && memo.known.len() < 2_000 && !memo.known.is_empty()));
        let long = chat(&"y".repeat(LONGEST));
        remember(&long, &read(Api::Chat, long.body.clone()).unwrap());
        assert!(recall(&long).is_none());
    }
}
