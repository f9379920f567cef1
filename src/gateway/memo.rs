//! Requests that were answered from the cache lately, as they were read: the same bytes need not be read a second time.
//!
//! Only reading is remembered, which depends on nothing but the bytes and the route that was called. Whose key it is, what the
//! rules say, and whether the answer is still stored is asked for every call. Each worker remembers its own, so nothing is locked.

use std::cell::RefCell;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use foldhash::fast::FixedState;

use super::incoming::Incoming;
use super::request::Request;
use crate::types::QuickMap;
use crate::wire::endpoint::Task;

/// The longest request that is remembered: reading a longer one costs more, but so does keeping it.
const LONGEST: usize = 32 << 10;

/// When so many bytes are remembered, all are forgotten.
const MOST: usize = 1 << 20;

/// The estimated memory of a remembered request beside its body, in bytes.
const OVERHEAD: usize = 2 << 10;

/// Bytes from each end by which requests are found; then all are compared.
const ENDS: usize = 64;

thread_local! {
    static MEMO: RefCell<Memo> = RefCell::default();
}

#[derive(Default)]
struct Memo {
    known: QuickMap<u64, Arc<Request>>,
    bytes: usize,
}

/// What was read of this request before.
pub fn recall(incoming: &Incoming) -> Option<Arc<Request>> {
    MEMO.with_borrow(|memo| {
        if memo.known.is_empty() || incoming.body.len() > LONGEST {
            return None;
        }
        let request = memo.known.get(&place_of(incoming)?)?;
        is_of(request, incoming).then(|| request.clone())
    })
}

/// Remembers what was read of a request. A stored prompt may change, so what it made is not remembered; nor is what an address
/// says, beside the body.
pub fn remember(incoming: &Incoming, request: &Request, read: impl FnOnce(Bytes) -> Option<Arc<Request>>) {
    let length = incoming.body.len();
    if length > LONGEST || request.prompt().is_some() || incoming.addressed.model.is_some() {
        return;
    }
    MEMO.with_borrow_mut(|memo| {
        let Some(place) = place_of(incoming) else { return };
        if memo.known.get(&place).is_some_and(|request| is_of(request, incoming)) {
            return;
        }
        // Read from a copy: a part of the buffer that it came in would keep all of it.
        let Some(request) = read(Bytes::copy_from_slice(&incoming.body)) else { return };
        if memo.bytes + length + OVERHEAD > MOST {
            *memo = Memo::default();
        }
        memo.bytes += length + OVERHEAD;
        memo.known.insert(place, request);
    });
}

fn is_of(request: &Request, incoming: &Incoming) -> bool {
    request.endpoint == incoming.endpoint
        && incoming.addressed.model.is_none()
        && *request.first().object().bytes() == incoming.body
}

/// Where a request is found; `None` of a route whose requests are not remembered.
fn place_of(incoming: &Incoming) -> Option<u64> {
    let row = incoming.endpoint.row();
    if !row.methods.is_empty() || !matches!(row.task, Task::Converse | Task::Embed { .. }) {
        return None;
    }
    let body = &incoming.body[..];
    let (first, last) = (&body[..body.len().min(ENDS)], &body[body.len().saturating_sub(ENDS)..]);
    Some(FixedState::with_seed(incoming.endpoint as u64).hash_one((first, last, body.len())))
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use tokio::time::Instant;

    use super::*;
    use crate::cache::Directive;
    use crate::gateway::rendering::Rendering;
    use crate::keys::VirtualKey;
    use crate::types::{RequestId, now};
    use crate::wire::DialectId;
    use crate::wire::dialect::Addressed;
    use crate::wire::endpoint::Endpoint;

    fn ask(endpoint: Endpoint, body: &str) -> Incoming {
        Incoming {
            id: RequestId::new(),
            started: Instant::now(),
            started_at: now(),
            key: Arc::new(VirtualKey::operator(now())),
            endpoint,
            addressed: Addressed::default(),
            body: Bytes::copy_from_slice(body.as_bytes()),
            headers: HeaderMap::new(),
            tags: Vec::new(),
            session: None,
            user: None,
            cache: Directive::default(),
            timeout: None,
            background: false,
            judged: None,
            own: None,
        }
    }

    fn read(incoming: &Incoming) -> Arc<Request> {
        let asked = DialectId::OpenAiChat.codec().read(incoming.body.clone(), &Addressed::default()).unwrap();
        Arc::new(Request::plain(Rendering::of(Endpoint::Chat, asked)))
    }

    fn keep(incoming: &Incoming) {
        remember(incoming, &read(incoming), |_| Some(read(incoming)));
    }

    fn chat(text: &str) -> Incoming {
        let filler = "x".repeat(200);
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{filler}{text}{filler}"}}]}}"#);
        ask(Endpoint::Chat, &body)
    }

    #[test]
    fn only_the_same_bytes_of_the_same_route_are_recalled() {
        let first = chat("a");
        assert!(recall(&first).is_none());
        keep(&first);
        assert_eq!(recall(&first).unwrap().first().asked.model, "m");
        // Found in the same place, but for a byte in the middle.
        assert!(recall(&chat("b")).is_none());
        let elsewhere = Incoming { endpoint: Endpoint::Messages, ..chat("a") };
        assert!(recall(&elsewhere).is_none());
        let addressed = Addressed { model: Some("other".to_owned()), stream: false };
        assert!(recall(&Incoming { addressed, ..chat("a") }).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        for n in 0..2_000 {
            let one = chat(&n.to_string());
            keep(&one);
        }
        MEMO.with_borrow(|memo| assert!(memo.bytes <= MOST && memo.known.len() < 2_000 && !memo.known.is_empty()));
        let long = chat(&"y".repeat(LONGEST));
        keep(&long);
        assert!(recall(&long).is_none());
    }
}
