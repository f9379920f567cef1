//! A stream of events as one JSON list, as Google streams to callers that do not ask for events: one element an event, also
//! for an error.

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use http::Uri;

use crate::wire::sse::Decoder;

/// Whether the address asks for events.
pub fn asks_events(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse"))
}

/// Events that are all there, as a list.
pub fn list(events: Bytes) -> Bytes {
    let mut list = List::default();
    let mut out = BytesMut::with_capacity(events.len() + 2);
    list.take(events, &mut out);
    list.end(&mut out);
    out.freeze()
}

/// Events as they come, as a list.
pub fn listed<S>(events: S) -> impl Stream<Item = Result<Bytes, Infallible>> + Send
where
    S: Stream<Item = Result<Bytes, Infallible>> + Send + Unpin,
{
    stream::unfold(Some((events, List::default())), |state| async {
        let (mut events, mut list) = state?;
        let mut out = BytesMut::new();
        while out.is_empty() {
            let Some(Ok(piece)) = events.next().await else {
                list.end(&mut out);
                return Some((Ok(out.freeze()), None));
            };
            list.take(piece, &mut out);
        }
        Some((Ok(out.freeze()), Some((events, list))))
    })
}

/// A list as far as it was written.
#[derive(Default)]
struct List {
    decoder: Decoder,
    begun: bool,
}

impl List {
    fn take(&mut self, piece: Bytes, out: &mut BytesMut) {
        self.decoder.push(piece);
        // An event that is too long was refused where it came in.
        while let Ok(Some(event)) = self.decoder.event() {
            if let Some(data) = event.data() {
                out.put_slice(if std::mem::replace(&mut self.begun, true) { b",\r\n" } else { b"[" });
                out.put_slice(&data);
            }
        }
    }

    fn end(&self, out: &mut BytesMut) {
        out.put_slice(if self.begun { b"]" } else { b"[]" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENTS: &str = "data: {\"a\":1}\r\n\r\n: ping\r\n\r\ndata: {\"error\":{}}\r\n\r\n";

    #[tokio::test]
    async fn events_in_any_pieces_are_one_list() {
        let whole = list(Bytes::from_static(EVENTS.as_bytes()));
        assert_eq!(&whole[..], b"[{\"a\":1},\r\n{\"error\":{}}]");
        assert_eq!(&list(Bytes::new())[..], b"[]");
        for cut in 1..EVENTS.len() {
            let (first, second) = EVENTS.split_at(cut);
            let pieces = [first, second].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
            let passed: Vec<_> = listed(stream::iter(pieces)).map(Result::unwrap_or_default).collect().await;
            assert_eq!(passed.concat(), whole, "cut at {cut}");
        }
    }
}
