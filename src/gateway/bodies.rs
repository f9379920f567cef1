//! Room for the bodies of requests, and for whole answers: so many bytes at once for all, and so many for one key.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;

use crate::chat::{Code, Error};
use crate::types::QuickMap;

/// Bodies up to here need no room: what carries them takes as much by itself.
pub const SMALL_BODY: usize = 16 << 10;

/// Room is taken in steps of so many bytes.
const STEP: usize = 256 << 10;

/// When to ask again where there is no room.
const AGAIN: Duration = Duration::from_secs(1);

/// The room that is taken.
#[derive(Debug, Default)]
pub struct Bodies {
    /// Whether they are answers.
    are_answers: bool,
    all: AtomicUsize,
    keys: Mutex<QuickMap<Arc<str>, usize>>,
}

/// How much room there is.
#[derive(Clone, Copy, Debug)]
pub struct RoomBound {
    /// For all.
    pub all: usize,
    /// For one key.
    pub key: usize,
}

impl RoomBound {
    /// `all` bytes, of which one key gets half; at least one body of `body` bytes finds room.
    pub fn new(all: usize, body: usize) -> Self {
        let whole = body.saturating_add(STEP);
        Self { all: all.max(whole), key: (all / 2).max(whole) }
    }
}

/// The room of one body, which it has until this is dropped.
pub struct Room {
    bodies: Arc<Bodies>,
    bound: RoomBound,
    key: Arc<str>,
    taken: usize,
}

impl Bodies {
    /// The room of answers.
    pub fn of_answers() -> Self {
        Self { are_answers: true, ..Self::default() }
    }

    /// Room for a body of a call of `key`, none of it taken yet.
    pub fn room(self: &Arc<Self>, bound: RoomBound, key: &Arc<str>) -> Room {
        Room { bodies: self.clone(), bound, key: key.clone(), taken: 0 }
    }

    fn full(&self, whose: &str, most: &str) -> Error {
        let what = if self.are_answers { "whole answers" } else { "requests" };
        let message = format!("{whose} {what} have as many bytes under way {most}");
        Error { retry_after: Some(AGAIN), ..Error::new(Code::Overloaded, message) }
    }

    /// Frees what a body of a key has taken.
    fn give_back(&self, keys: &mut QuickMap<Arc<str>, usize>, whose: &Arc<str>, taken: usize) {
        self.all.fetch_sub(taken, Ordering::AcqRel);
        if let Some(key) = keys.get_mut(whose) {
            *key -= taken;
            if *key == 0 {
                keys.remove(whose);
            }
        }
    }

    /// A panic that held the lock leaves at worst room that is taken.
    fn lock(&self) -> MutexGuard<'_, QuickMap<Arc<str>, usize>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Takes room for `bytes` in all.
    ///
    /// # Errors
    /// Where there is none. What was taken before is free again at once: of many bodies that come together some find room to their
    /// ends.
    pub fn reach(&mut self, bytes: usize) -> Result<(), Error> {
        if bytes <= self.taken {
            return Ok(());
        }
        let more = bytes.next_multiple_of(STEP) - self.taken;
        {
            let mut keys = self.bodies.lock();
            let key = keys.entry(self.key.clone()).or_default();
            if *key + more > self.bound.key {
                self.bodies.give_back(&mut keys, &self.key, std::mem::take(&mut self.taken));
                return Err(self.bodies.full("this key's", "as one key may"));
            }
            *key += more;
        }
        let before = self.bodies.all.fetch_add(more, Ordering::AcqRel);
        self.taken += more;
        if before + more > self.bound.all {
            self.bodies.give_back(&mut self.bodies.lock(), &self.key, std::mem::take(&mut self.taken));
            return Err(self.bodies.full("the", "as the gateway has room for"));
        }
        Ok(())
    }

    /// The body, which has this room as long as any part of it lives.
    pub fn hold(self, body: Bytes) -> Bytes {
        if self.taken == 0 { body } else { Bytes::from_owner(Held { body, _room: self }) }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.taken > 0 {
            self.bodies.give_back(&mut self.bodies.lock(), &self.key, self.taken);
        }
    }
}

struct Held {
    body: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_for_all_and_for_a_key_and_comes_back() {
        let bodies = Arc::new(Bodies::default());
        let bound = RoomBound::new(4 << 20, 1 << 20);
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let take = |key: &Arc<str>| {
            let mut room = bodies.room(bound, key);
            room.reach(1 << 20).map(|()| room)
        };
        let mut held: Vec<Room> = (0..2).map(|_| take(&a).ok().unwrap()).collect();
        assert!(take(&a).err().unwrap().message.contains("this key"));
        held.extend((0..2).map(|_| take(&b).ok().unwrap()));
        let full = take(&"c".into()).err().unwrap();
        assert_eq!((full.code, full.retry_after), (Code::Overloaded, Some(AGAIN)));
        let body = held.pop().unwrap().hold(Bytes::from_static(b"hello"));
        let part = body.slice(1..3);
        drop(body);
        assert!(take(&"c".into()).is_err(), "a part of the body lives");
        assert_eq!(part, "el");
        drop(part);
        assert!(take(&"c".into()).is_ok());
        drop(held);
        assert_eq!(bodies.all.load(Ordering::Relaxed), 0);
        assert!(bodies.lock().is_empty());
    }

    #[test]
    fn of_bodies_that_come_together_a_refused_one_frees_its_room_at_once() {
        let (bodies, key): (_, Arc<str>) = (Arc::new(Bodies::default()), "a".into());
        for bound in [RoomBound { all: 9 * STEP, key: 8 * STEP }, RoomBound { all: 8 * STEP, key: 9 * STEP }] {
            let mut rooms: Vec<Room> = (0..3).map(|_| bodies.room(bound, &key)).collect();
            for (room, steps) in rooms.iter_mut().zip([3, 3, 2]) {
                assert!(room.reach(steps * STEP).is_ok());
            }
            assert!(rooms[0].reach(4 * STEP).is_err());
            // It is still there.
            assert!(rooms[1].reach(4 * STEP).is_ok() && rooms[2].reach(4 * STEP).is_ok());
            drop(rooms);
            assert_eq!(bodies.all.load(Ordering::Relaxed), 0);
            assert!(bodies.lock().is_empty());
        }
    }

    #[test]
    fn one_whole_body_always_finds_room() {
        let bound = RoomBound::new(1 << 10, 32 << 20);
        let bodies = Arc::new(Bodies::default());
        assert!(bodies.room(bound, &"a".into()).reach(32 << 20).is_ok());
    }
}
