//! All keys in memory, as they were at one revision of the database.

use std::sync::Arc;

use super::store::Row;
use super::token::{self, Hash};
use super::{Error, Role, VirtualKey};
use crate::types::{QuickMap, Timestamp};

/// An immutable snapshot, so that no call waits for the database or for a lock.
#[derive(Default)]
pub(super) struct Known {
    pub(super) revision: i64,
    by_id: QuickMap<Arc<str>, StoredKey>,
    /// The keys that need not have our form, since an operator chose their text.
    chosen: Vec<Arc<str>>,
}

struct StoredKey {
    key: Arc<VirtualKey>,
    hash: Hash,
    old: Option<(Hash, Timestamp)>,
}

impl StoredKey {
    fn is_opened_by(&self, hash: &Hash, now: Timestamp) -> bool {
        let by_old = self.old.as_ref().is_some_and(|(old, until)| old.is(hash) && now < *until);
        self.hash.is(hash) || by_old
    }
}

/// Whether keys of more than one project call models. Keys of admins are there to administer.
fn projects_share(rows: &[Row]) -> bool {
    let mut calling = rows.iter().filter(|row| row.key.role == Role::App && row.key.revoked_at.is_none());
    let first = calling.next().map(|row| &row.key.project);
    first.is_some_and(|first| calling.any(|row| row.key.project != *first))
}

impl Known {
    /// The keys of `rows`; those that `before` knew keep the state of their limits.
    pub(super) fn new(revision: i64, rows: Vec<Row>, before: &Self) -> Self {
        let shares = projects_share(&rows);
        let mut known = Self { revision, by_id: QuickMap::default(), chosen: Vec::new() };
        for Row { mut key, hash, old, env } in rows {
            key.shares = shares;
            if let Some(stored) = before.by_id.get(&key.id) {
                key.limiter = stored.key.limiter.clone();
                key.look_ups = stored.key.look_ups.clone();
                if let Some(at) = std::mem::replace(&mut key.used, stored.key.used.clone()).at() {
                    key.used.saved(at);
                }
            }
            if env.is_some_and(|env| env.is(&hash) || old.is_some()) {
                known.chosen.push(key.id.clone());
            }
            known.by_id.insert(key.id.clone(), StoredKey { key: Arc::new(key), hash, old });
        }
        known
    }

    /// The key with this text. A text without our form is looked up nowhere; where operators chose keys of their own, it is
    /// compared with these.
    pub(super) fn find(&self, token: &str, now: Timestamp) -> Result<&Arc<VirtualKey>, Error> {
        if !token::is_possible(token) {
            return Err(Error::Malformed);
        }
        // A whole key that fits needs no check part; for the others the error says what is wrong.
        let stored = token::formed_id_of(token).and_then(|id| self.by_id.get(id));
        let hash = stored.is_some().then(|| Hash::of(token));
        if let (Some(stored), Some(hash)) = (stored, &hash)
            && stored.is_opened_by(hash, now)
        {
            return stored.key.check_valid(now).map(|()| &stored.key);
        }
        let id = token::id_of(token);
        if id.is_none() && self.chosen.is_empty() {
            return Err(Error::Malformed);
        }
        let Some(stored) = self.chosen(&hash.unwrap_or_else(|| Hash::of(token)), now) else {
            return Err(if id.is_some() { Error::Unknown } else { Error::Malformed });
        };
        stored.key.check_valid(now).map(|()| &stored.key)
    }

    pub(super) fn get(&self, id: &str) -> Option<&Arc<VirtualKey>> {
        self.by_id.get(id).map(|stored| &stored.key)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<VirtualKey>> {
        self.by_id.values().map(|stored| &stored.key)
    }

    fn chosen(&self, hash: &Hash, now: Timestamp) -> Option<&StoredKey> {
        self.chosen.iter().filter_map(|id| self.by_id.get(id)).find(|stored| stored.is_opened_by(hash, now))
    }
}
