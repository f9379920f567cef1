//! Virtual keys: the caller, its project, its rights and its limit.

mod change;
mod error;
mod guess;
mod key;
mod known;
mod last_use;
mod limit;
mod store;
mod token;

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tokio::time::timeout;

use self::guess::Guesses;
use self::known::Known;
use self::limit::Limiter;
use self::store::{Change, Row};
use self::token::Hash;
use crate::db::Db;
use crate::types::{Secret, Timestamp, did_you_mean, nearest};

pub use self::change::{KeyPatch, NewKey};
pub use self::error::Error;
pub use self::key::{Role, VirtualKey};
pub use self::limit::{Throttled, Window};
pub use self::store::Project;

/// A rotated secret may open this much longer at most.
const LONGEST_GRACE: Duration = Duration::from_secs(30 * 86_400);

/// How long an unknown key waits for the database.
const LOOK_UP: Duration = Duration::from_secs(1);

/// How many unknown keys a minute are looked up for an address where wrong keys have no limit.
const LOOK_UPS: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);

/// How many unknown keys a minute are looked up for addresses that sent too many wrong ones, all together.
const LOOK_UPS_OF_STOPPED: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);

/// Limits of keys that set none, and of texts that are no keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Requests a minute; `None` is no limit.
    pub requests_per_minute: Option<NonZeroU32>,
    /// Wrong keys a minute from one address; `None` is no limit.
    pub wrong_keys_per_minute: Option<NonZeroU32>,
}

/// All keys: in memory for the data plane, in the database for good.
pub struct Keys {
    db: Db,
    known: ArcSwap<Known>,
    /// The default limit; 0 is none.
    per_minute: AtomicU32,
    /// How many wrong keys a minute an address may send; 0 is no limit.
    wrong_per_minute: AtomicU32,
    guesses: Guesses,
    /// Look-ups for addresses that may guess no more, all together: a proxy has one address for all whom it serves.
    stopped: Limiter,
    /// Held while the database is read again, so that an older reading never replaces a newer one.
    reading: Mutex<()>,
}

impl Keys {
    /// Reads the keys, and makes an admin key where none works.
    ///
    /// `admin_from_env` becomes an admin key the first time it is seen, and replaces the one that an earlier value
    /// made; without it, and without any admin key, one is made and returned, to be shown once.
    ///
    /// # Errors
    /// [`Error::WeakAdminKey`] where the configured key is guessable, [`Error::Database`] where the database fails.
    pub async fn open(
        db: Db,
        admin_from_env: Option<Secret>,
        defaults: Limits,
        now: Timestamp,
    ) -> Result<(Self, Option<Secret>), Error> {
        let made = ensure_admin(&db, admin_from_env.as_ref(), now).await?;
        Ok((Self::beside(db, defaults).await?, made))
    }

    /// Reads the keys, and makes none: for commands that work beside a gateway, or before one runs.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn beside(db: Db, defaults: Limits) -> Result<Self, Error> {
        let keys = Self {
            db,
            known: ArcSwap::default(),
            per_minute: AtomicU32::new(0),
            wrong_per_minute: AtomicU32::new(0),
            guesses: Guesses::default(),
            stopped: Limiter::default(),
            reading: Mutex::new(()),
        };
        keys.set_defaults(defaults);
        keys.read_again().await?;
        Ok(keys)
    }

    /// Takes other limits for keys that set none, from now on.
    pub fn set_defaults(&self, defaults: Limits) {
        let per_minute = defaults.requests_per_minute.map_or(0, NonZeroU32::get);
        self.per_minute.store(per_minute, Ordering::Relaxed);
        let wrong = defaults.wrong_keys_per_minute.map_or(0, NonZeroU32::get);
        self.wrong_per_minute.store(wrong, Ordering::Relaxed);
    }

    /// Takes in what another process changed. One small query where nothing did.
    ///
    /// # Errors
    /// [`Error::Database`]; the keys known before stay.
    pub async fn refresh(&self) -> Result<(), Error> {
        let revision = self.db.revision("keys").await?;
        if revision == self.known.load().revision {
            return Ok(());
        }
        self.read_again().await
    }

    /// The key with this text: from memory, in about a microsecond.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Unknown`], and where the secret is right [`Error::Expired`] and [`Error::Revoked`].
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Arc<VirtualKey>, Error> {
        let key = self.known.load().find(token, now).cloned()?;
        key.used.note(now);
        Ok(key)
    }

    /// Writes down when each key was last used; for the clock and for shutdown.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn save_use(&self) -> Result<(), Error> {
        let unsaved = |key: &Arc<VirtualKey>| Some((key.clone(), key.used.unsaved()?));
        let used: Vec<_> = self.known.load().all().filter_map(unsaved).collect();
        if used.is_empty() {
            return Ok(());
        }
        let mut change = Change::begin(&self.db).await?;
        for (key, at) in &used {
            change.set_used(&key.id, *at).await?;
        }
        change.commit_quietly().await?;
        used.iter().for_each(|(key, at)| key.used.saved(*at));
        Ok(())
    }

    /// The keys beside this one that have its name in its project and still open something.
    #[must_use]
    pub fn namesakes(&self, key: &VirtualKey, now: Timestamp) -> Vec<Arc<VirtualKey>> {
        let is_one = |other: &&Arc<VirtualKey>| {
            other.name == key.name && other.project == key.project && other.id != key.id && other.is_live(now)
        };
        self.known.load().all().filter(is_one).cloned().collect()
    }

    /// The key with this text, where memory does not know it: another process may have made it, or given it a new secret, since
    /// the keys were read last. The database is asked once for each text that `from` may still guess, for others once a second,
    /// and not for long.
    ///
    /// # Errors
    /// `refused`, where the database does not know the key either; [`Error::Guessing`] where too many came from this address.
    pub async fn look_up(
        &self,
        token: &str,
        refused: Error,
        from: Option<IpAddr>,
        now: Timestamp,
    ) -> Result<Arc<VirtualKey>, Error> {
        let may_open = matches!(refused, Error::Unknown);
        let error = match from {
            Some(from) => self.count_wrong(refused, from, now),
            None => refused,
        };
        if !may_open || !self.may_look(&error, from, now) {
            return Err(error);
        }
        match timeout(LOOK_UP, self.refresh()).await {
            Ok(Ok(())) => self.authenticate(token, now).map_err(|again| match again {
                Error::Unknown => error,
                known => known,
            }),
            Ok(Err(failure)) => {
                tracing::warn!(error = %failure, "cannot look an unknown key up");
                Err(error)
            }
            Err(_late) => Err(error),
        }
    }

    /// Whether the database is asked for a key that is refused with `error` otherwise.
    fn may_look(&self, error: &Error, from: Option<IpAddr>, now: Timestamp) -> bool {
        if matches!(error, Error::Guessing(_)) {
            return self.stopped.take(LOOK_UPS_OF_STOPPED, now).is_ok();
        }
        // Guesses without a limit are no reason to ask the database without one.
        let has_limit = self.wrong_per_minute.load(Ordering::Relaxed) > 0;
        has_limit || from.is_none_or(|from| self.guesses.count(from, LOOK_UPS, now).is_ok())
    }

    /// Counts a wrong key of an address. A key that was right once does not count, and good keys of the same address are not
    /// limited.
    ///
    /// Returns the error for the caller: [`Error::Guessing`] where too many came from this address.
    pub fn count_wrong(&self, error: Error, from: IpAddr, now: Timestamp) -> Error {
        let limit = NonZeroU32::new(self.wrong_per_minute.load(Ordering::Relaxed));
        let (Error::Malformed | Error::Unknown, Some(limit)) = (&error, limit) else { return error };
        match self.guesses.count(from, limit, now) {
            Ok(()) => error,
            Err(throttled) => Error::Guessing(throttled.retry_after),
        }
    }

    /// The key with this id, for work that goes on in its name after its request has ended.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::Expired`], [`Error::Revoked`].
    pub fn holder(&self, id: &str, now: Timestamp) -> Result<Arc<VirtualKey>, Error> {
        let key = self.get(id)?;
        key.check_valid(now)?;
        Ok(key)
    }

    /// The requests a minute that the key may make; `None` where nothing limits them.
    #[must_use]
    pub fn limit_of(&self, key: &VirtualKey) -> Option<NonZeroU32> {
        key.requests_per_minute.or(NonZeroU32::new(self.per_minute.load(Ordering::Relaxed)))
    }

    /// Counts one request of the key. `None` where neither the key nor the configuration sets a limit.
    ///
    /// # Errors
    /// [`Throttled`] with the time until the next is admitted; a refused request is not counted.
    pub fn admit(&self, key: &VirtualKey, now: Timestamp) -> Result<Option<Window>, Throttled> {
        let Some(limit) = self.limit_of(key) else {
            return Ok(None);
        };
        key.limiter.take(limit, now).map(Some)
    }

    /// All keys, revoked ones too, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<VirtualKey>> {
        let mut keys: Vec<_> = self.known.load().all().cloned().collect();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        keys
    }

    /// The key with this id.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`].
    pub fn get(&self, id: &str) -> Result<Arc<VirtualKey>, Error> {
        self.known.load().get(id).cloned().ok_or_else(|| self.no_such(id))
    }

    /// Makes a key, and its project where that is new. The secret is returned only here.
    ///
    /// # Errors
    /// [`Error::Invalid`] where a value is out of bounds, [`Error::Database`].
    pub async fn create(&self, new: NewKey, now: Timestamp) -> Result<(Arc<VirtualKey>, Secret), Error> {
        let id = token::new_id();
        let key = new.build(&id, now)?;
        let secret = token::new_token(&id);
        let row = Row { key, hash: Hash::of(secret.expose()), old: None, env: None };
        let mut change = Change::begin(&self.db).await?;
        change.add_project(&row.key.project, now).await?;
        change.save(&row).await?;
        change.commit().await?;
        self.read_again().await?;
        Ok((self.get(&id)?, secret))
    }

    /// Changes a key.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::AlreadyRevoked`], [`Error::Invalid`], [`Error::LastAdmin`],
    /// [`Error::Database`].
    pub async fn patch(&self, id: &str, patch: KeyPatch, now: Timestamp) -> Result<Arc<VirtualKey>, Error> {
        self.change(id, |row| patch.apply(&mut row.key, now)).await
    }

    /// Takes a key back, at once and for good. Revoking it again changes nothing.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::LastAdmin`], [`Error::Database`].
    pub async fn revoke(&self, id: &str, now: Timestamp) -> Result<Arc<VirtualKey>, Error> {
        let revoked = self.change(id, |row| {
            row.key.revoked_at = Some(now);
            row.old = None;
            Ok(())
        });
        match revoked.await {
            Err(Error::AlreadyRevoked(_)) => {
                self.read_again().await?;
                self.get(id)
            }
            other => other,
        }
    }

    /// Replaces a key's secret, which is returned only here. The old one stops at once, or after `grace`.
    ///
    /// # Errors
    /// [`Error::NoSuchKey`], [`Error::AlreadyRevoked`], [`Error::Invalid`] where `grace` is over 30 days,
    /// [`Error::Database`].
    pub async fn rotate(
        &self,
        id: &str,
        grace: Option<Duration>,
        now: Timestamp,
    ) -> Result<(Arc<VirtualKey>, Secret), Error> {
        if grace.is_some_and(|grace| grace > LONGEST_GRACE) {
            return Err(Error::Invalid { field: "grace", problem: "must be at most 30d".to_owned() });
        }
        let secret = token::new_token(id);
        let hash = Hash::of(secret.expose());
        let rotated = self.change(id, |row| {
            row.old = grace.map(|grace| (row.hash, now.plus(grace)));
            row.hash = hash;
            Ok(())
        });
        Ok((rotated.await?, secret))
    }

    /// All projects by name.
    ///
    /// # Errors
    /// [`Error::Database`].
    pub async fn projects(&self) -> Result<Vec<Project>, Error> {
        Ok(store::projects(&self.db).await?)
    }

    /// Makes a project; one that stands already stays as it is.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the name has not its form, [`Error::Database`].
    pub async fn add_project(&self, name: &str, now: Timestamp) -> Result<(), Error> {
        let name = change::project_name(name)?;
        let mut change = Change::begin(&self.db).await?;
        change.add_project(&name, now).await?;
        Ok(change.commit().await?)
    }

    /// Changes one row, unless that would leave no lasting admin key.
    async fn change(
        &self,
        id: &str,
        apply: impl FnOnce(&mut Row) -> Result<(), Error>,
    ) -> Result<Arc<VirtualKey>, Error> {
        let mut change = Change::begin(&self.db).await?;
        let mut row = change.find(id).await?.ok_or_else(|| self.no_such(id))?;
        if row.key.revoked_at.is_some() {
            return Err(Error::AlreadyRevoked(row.key.id.to_string()));
        }
        let was_lasting = row.key.is_lasting_admin();
        apply(&mut row)?;
        change.save(&row).await?;
        if was_lasting && change.lasting_admins().await? == 0 {
            return Err(Error::LastAdmin);
        }
        change.commit().await?;
        self.read_again().await?;
        self.get(id)
    }

    /// No key has this id: the one of that name, or the one with an id like that, may be meant.
    fn no_such(&self, id: &str) -> Error {
        let id: String = id.chars().take(80).collect();
        let known = self.known.load();
        let named: Vec<&str> = known.all().filter(|key| *key.name == *id).map(|key| &*key.id).take(5).collect();
        let by_name = || {
            let near = nearest(&id, known.all().map(|key| &*key.name))?;
            let key = known.all().find(|key| *key.name == *near)?;
            Some(format!("; did you mean `{}`, the key named {near}?", key.id))
        };
        let hint = match named.is_empty() {
            true => match did_you_mean(&id, known.all().map(|key| &*key.id)) {
                none if none.is_empty() => by_name().unwrap_or_default(),
                near => near,
            },
            false => format!("; the key of that name has the id {}", named.join(" or ")),
        };
        Error::NoSuchKey { id, hint }
    }

    async fn read_again(&self) -> Result<(), Error> {
        let _one_at_a_time = self.reading.lock().await;
        let (revision, rows) = store::load(&self.db).await?;
        let known = Known::new(revision, rows, &self.known.load());
        self.known.store(Arc::new(known));
        Ok(())
    }
}

/// Makes the admin key of the first start, or that of a new `FULCRUM_ADMIN_KEY`.
async fn ensure_admin(db: &Db, chosen: Option<&Secret>, now: Timestamp) -> Result<Option<Secret>, Error> {
    chosen.map_or(Ok(()), token::check_strength)?;
    let mut change = Change::begin(db).await?;
    if let Some(chosen) = chosen {
        let hash = Hash::of(chosen.expose());
        if !change.was_seen(&hash).await? {
            change.revoke_chosen(now).await?;
            add_admin(change, &token::new_id(), hash, Some(hash), now).await?;
            return Ok(None);
        }
    }
    if change.lasting_admins().await? > 0 {
        return Ok(None);
    }
    let id = token::new_id();
    let secret = token::new_token(&id);
    add_admin(change, &id, Hash::of(secret.expose()), None, now).await?;
    Ok(Some(secret))
}

async fn add_admin(mut change: Change, id: &str, hash: Hash, env: Option<Hash>, now: Timestamp) -> Result<(), Error> {
    let new = NewKey { role: Role::Admin, ..NewKey::named("admin") };
    let row = Row { key: new.build(id, now)?, hash, old: None, env };
    change.add_project(&row.key.project, now).await?;
    change.save(&row).await?;
    Ok(change.commit().await?)
}

#[cfg(test)]
mod tests;
