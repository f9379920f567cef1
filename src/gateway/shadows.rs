//! What the shadows of routes may still spend today, and the pairs of answers that they leave.

mod spend;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;

use self::spend::Day;
use crate::db::Db;
use crate::routing::Shadow;
use crate::types::{Nanos, QuickMap, Timestamp};
use crate::usage::{self, Pair};

/// What a route's shadow has spent, once the ledger has said so.
type Spent = OnceCell<Mutex<Day>>;

/// The shadows of all routes.
pub struct Shadows {
    db: Db,
    /// What each route's shadow has spent, read from the ledger at its first call: so a restart forgets nothing.
    spent: Mutex<QuickMap<Arc<str>, Arc<Spent>>>,
}

/// An amount that is set aside for a call of a shadow. Dropped before it is settled, it stays spent.
pub struct SetAside {
    day: i64,
    amount: Nanos,
    of: Arc<Spent>,
}

impl Shadows {
    /// Shadows whose calls are in the ledger of `db`, and their pairs.
    #[must_use]
    pub fn of(db: Db) -> Self {
        Self { db, spent: Mutex::default() }
    }

    /// Sets the most aside that a call may cost; `None` where the day's cap does not allow it, or the ledger cannot be read.
    pub async fn set_aside(&self, shadow: &Shadow, amount: Nanos, now: Timestamp) -> Option<SetAside> {
        let of = lock(&self.spent).entry(shadow.route.clone()).or_default().clone();
        let day = match of.get_or_try_init(|| self.spent_before(&shadow.route, now)).await {
            Ok(day) => day,
            Err(error) => {
                tracing::warn!(%error, route = &*shadow.route, "what a shadow has spent today cannot be read: {error}");
                return None;
            }
        };
        let day = lock(day).set_aside(amount, shadow.most_a_day, now)?;
        Some(SetAside { day, amount, of: of.clone() })
    }

    /// What a route's shadow has spent today and has set aside; `None` where no call of it was made since the start.
    #[must_use]
    pub fn spent(&self, route: &str, now: Timestamp) -> Option<Nanos> {
        let of = lock(&self.spent).get(route).cloned()?;
        let spent = lock(of.get()?).spent(now);
        Some(spent)
    }

    /// What the ledger says that a route's shadow has spent today.
    async fn spent_before(&self, route: &str, now: Timestamp) -> Result<Mutex<Day>, usage::Error> {
        Ok(Mutex::new(Day::begin(usage::spent_by_shadow(&self.db, route, now).await?, now)))
    }

    /// Stores a pair, unless the texts of its request were erased meanwhile.
    ///
    /// # Errors
    /// Where the database cannot be written.
    pub async fn store(&self, pair: &Pair) -> Result<(), usage::Error> {
        usage::store_pair(&self.db, pair).await
    }
}

impl SetAside {
    /// Notes what the call cost; `None` keeps what was set aside.
    pub fn settle(self, cost: Option<Nanos>) {
        if let (Some(cost), Some(day)) = (cost, self.of.get()) {
            lock(day).settle(self.day, self.amount, cost);
        }
    }
}

/// A panic that held the lock leaves at worst a wrong sum.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
