//! What writes settlements into either database: the ledger on SQLite, its statements in transactions on PostgreSQL.

use super::*;
use crate::db::query;
use crate::usage::settling::Amendment;
use crate::usage::store::portable::Portable;
use crate::usage::store::writer::Writer;

pub(super) enum Pen {
    Ledger(Ledger),
    Portable(Box<Portable>),
}

impl Pen {
    pub(super) async fn of(db: &Db) -> Self {
        match db {
            Db::Sqlite(db) => Self::Ledger(Ledger::open(db, quick()).await.unwrap()),
            Db::Postgres(_) => Self::Portable(Box::new(Portable::open(db).await.unwrap())),
        }
    }

    /// Writes settlements so that a reader sees them.
    pub(super) async fn settle(&mut self, all: &[Settlement]) {
        match self {
            Self::Ledger(ledger) => {
                let acks: Vec<_> = all.iter().map(|one| ledger.settle(one.clone(), SegmentRefs::default())).collect();
                for ack in acks {
                    ack.await.unwrap();
                }
                ledger.flush().await;
            }
            Self::Portable(portable) => portable.write(&all.iter().collect::<Vec<_>>(), &[]).await.unwrap(),
        }
    }

    pub(super) async fn close(self) {
        if let Self::Ledger(ledger) = self {
            ledger.close().await.unwrap();
        }
    }
}

/// Writes one batch, with attempts that a crash cut off.
pub(super) async fn write(db: &Db, batch: &[&Settlement], amendments: &[Amendment]) {
    match db {
        Db::Sqlite(db) => {
            let mut writer = Writer::open(db, Duration::from_millis(1)).await.unwrap();
            writer.write(batch, amendments).await.unwrap();
        }
        Db::Postgres(_) => Portable::open(db).await.unwrap().write(batch, amendments).await.unwrap(),
    }
}

/// The number that a statement gives.
pub(super) async fn number(db: &Db, sql: &'static str) -> i64 {
    query(sql).fetch_one(db).await.unwrap().get(0).unwrap()
}
