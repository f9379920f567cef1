//! Breaks an answer as its fault asks; without a fault the answer does not change.

use std::time::Duration;

use bytes::Bytes;

use super::answer::{Simulated, headers};
use super::body::{Body, Piece};
use super::dice::Dice;
use super::refusal::Refusal;
use super::traits::Fault;

/// A broken stream still gives the role and this many chunks.
const CHUNKS: usize = 3;
const LORIS_BYTES: usize = 16;
const LORIS_GAP: Duration = Duration::from_millis(250);

/// A whole answer.
pub(super) fn break_whole(fault: Option<Fault>, bytes: Bytes, after: Duration, dice: &Dice) -> Simulated {
    let half = bytes.slice(..bytes.len() / 2);
    let now = Duration::ZERO;
    let (after, body) = match fault {
        Some(Fault::ErrorEvent) => return Refusal::of_status(500).answer(dice),
        Some(Fault::Stall) => (Duration::MAX, Body::new([(now, Piece::Stall)])),
        Some(Fault::Cut) => (after, Body::new([(now, Piece::Bytes(half)), (now, Piece::Cut)])),
        Some(Fault::BadJson) => (after, Body::whole(half)),
        Some(Fault::SlowLoris) => (after, Body::new(drip([(now, bytes)]))),
        _ => (after, Body::whole(bytes)),
    };
    Simulated { status: 200, headers: headers("application/json", dice), after, body }
}

/// A stream of events, each with its time.
pub(super) fn break_events(
    fault: Option<Fault>,
    events: Vec<(Duration, Bytes)>,
    after: Duration,
    dice: &Dice,
) -> Simulated {
    let broken_at = (CHUNKS + 1).min(events.len().saturating_sub(1));
    let moment = events.get(broken_at).map_or(Duration::ZERO, |(at, _)| *at);
    let whole =
        |events: Vec<(Duration, Bytes)>| Body::new(events.into_iter().map(|(at, bytes)| (at, Piece::Bytes(bytes))));
    let started = |last: Piece| {
        let first = events.iter().take(broken_at).map(|(at, bytes)| (*at, Piece::Bytes(bytes.clone())));
        Body::new(first.chain([(moment, last)]))
    };
    let body = match fault {
        Some(Fault::Stall) => started(Piece::Stall),
        Some(Fault::Cut) => started(Piece::Cut),
        Some(Fault::ErrorEvent) => {
            let error = Refusal::of_status(500).body();
            started(Piece::Bytes([b"data: ", &error[..], b"\n\n"].concat().into()))
        }
        Some(Fault::BadJson) => {
            let mut events = events;
            if let Some((_, bytes)) = events.get_mut(broken_at) {
                *bytes = [&bytes[..bytes.len() / 2], b"\n\n"].concat().into();
            }
            whole(events)
        }
        Some(Fault::SlowLoris) => Body::new(drip(events)),
        _ => whole(events),
    };
    Simulated { status: 200, headers: headers("text/event-stream; charset=utf-8", dice), after, body }
}

/// The same bytes, a few at a time.
fn drip(events: impl IntoIterator<Item = (Duration, Bytes)>) -> Vec<(Duration, Piece)> {
    let all = events.into_iter().fold(Vec::new(), |mut all, (_, bytes)| {
        all.extend_from_slice(&bytes);
        all
    });
    let all = Bytes::from(all);
    let starts = (0..all.len()).step_by(LORIS_BYTES);
    let pieces = starts.enumerate().map(|(i, start)| {
        let end = (start + LORIS_BYTES).min(all.len());
        (LORIS_GAP * u32::try_from(i).unwrap_or(u32::MAX), Piece::Bytes(all.slice(start..end)))
    });
    pieces.collect()
}
