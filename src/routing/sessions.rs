//! Which target a session's calls were answered by, so that the next ones go there too.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::recent::Recent;
use super::target::Target;
use crate::types::Timestamp;

/// How long a session stays bound since its last answer.
const BOUND: Duration = Duration::from_secs(3_600);

/// The parts of the table, each with a lock of its own.
const PARTS: usize = 64;

/// The sessions of each of two generations of a part. That is what a table of 2^14 places holds before it doubles: at 25 bytes
/// a place, all parts together never take more than 54 MB, and hold the last 917,504 sessions at least.
const MOST: usize = (1 << 14) / 8 * 7;

/// A session of one route and one project, as a hash of the three: no two projects share a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey([u8; 16]);

impl SessionKey {
    /// The key of `session`, as the callers of `project` call it, on `route`.
    pub(super) fn of(project: &str, route: &str, session: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        for part in [project, route, session] {
            hasher.update(&part.len().to_le_bytes()).update(part.as_bytes());
        }
        let mut key = [0; 16];
        key.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(key)
    }

    /// The part of the table that the session is in.
    fn part(self) -> usize {
        usize::from(self.0[15]) % PARTS
    }
}

/// A target, in four bytes: of the few targets of a route, no two have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag(u32);

impl Tag {
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    pub(super) fn of(target: &Target) -> Self {
        Self(hash(&target.id) as u32)
    }
}

/// A hash of a target's name, the same in every process.
pub(super) fn hash(id: &str) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mixed(id.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// Spreads the bits of a number over all of it (the end of `SplitMix64`).
pub(super) fn mixed(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    target: Tag,
    /// Seconds since 1970.
    at: u32,
}

/// The targets that sessions are bound to. They outlive a reload of the configuration, and are not stored.
#[derive(Debug)]
pub struct Sessions {
    parts: Box<[Mutex<Recent<SessionKey, Bound>>]>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::of_size(MOST)
    }
}

impl Sessions {
    /// A table whose parts have generations of this size.
    fn of_size(most: usize) -> Self {
        Self { parts: (0..PARTS).map(|_| Mutex::new(Recent::new(most))).collect() }
    }

    /// `target` answered a call of the session well: the next ones go there.
    pub fn bind(&self, key: SessionKey, target: &Target, now: Timestamp) {
        let bound = Bound { target: Tag::of(target), at: seconds(now) };
        lock(&self.parts[key.part()]).put(key, bound);
    }

    /// The target of a session that was answered within the last hour.
    pub(super) fn get(&self, key: SessionKey, now: Timestamp) -> Option<Tag> {
        let bound = *lock(&self.parts[key.part()]).get(&key)?;
        let age = seconds(now).saturating_sub(bound.at);
        (u64::from(age) < BOUND.as_secs()).then_some(bound.target)
    }

    /// How many sessions are remembered, some of them twice.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parts.iter().map(|part| lock(part).len()).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn seconds(now: Timestamp) -> u32 {
    u32::try_from(now.seconds()).unwrap_or(0)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_427_193_000_000);

    fn target(model: &str) -> Target {
        Target::of("p", model)
    }

    #[test]
    fn a_session_is_bound_for_an_hour_since_its_last_answer() {
        let (sessions, key) = (Sessions::default(), SessionKey::of("p", "r", "s"));
        assert_eq!(sessions.get(key, NOW), None);
        sessions.bind(key, &target("a"), NOW);
        let (a, b) = (Tag::of(&target("a")), Tag::of(&target("b")));
        assert!(a != b && sessions.get(key, NOW.plus(Duration::from_secs(3_599))) == Some(a));
        assert_eq!(sessions.get(key, NOW.plus(BOUND)), None);
        sessions.bind(key, &target("b"), NOW.plus(Duration::from_secs(3_000)));
        assert_eq!(sessions.get(key, NOW.plus(BOUND)), Some(b));
    }

    #[test]
    fn no_two_projects_routes_or_sessions_share_a_binding() {
        let keys =
            [("p", "r", "s"), ("q", "r", "s"), ("p", "q", "s"), ("p", "r", "t"), ("pr", "", "s"), ("p", "rs", "")];
        let keys = keys.map(|(project, route, session)| SessionKey::of(project, route, session));
        for (n, key) in keys.iter().enumerate() {
            assert!(keys[..n].iter().all(|other| other != key), "{n}");
        }
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_last_sessions() {
        let sessions = Sessions::of_size(100);
        let key = |n: u32| SessionKey::of("p", "r", &n.to_string());
        let bound = target("a");
        (0..20_000).for_each(|n| sessions.bind(key(n), &bound, NOW));
        assert!(sessions.len() <= 2 * PARTS * 100);
        // No part got so many of the last ones that it forgot some.
        assert!((16_000..20_000).all(|n| sessions.get(key(n), NOW).is_some()));
        assert!(sessions.get(key(0), NOW).is_none());
    }
}
