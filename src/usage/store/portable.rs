//! Writes batches in transactions of either database, with the writer's own rows and statements: what is tested of them, of
//! the queries and of the reports holds on both.

use std::sync::Arc;

use super::batch::Books;
use super::field::{SqlError, Stored};
use super::queries::{next_numbers, skew};
use super::rare;
use super::statements::{ATTEMPTS, DIMENSIONS, Insert, REQUESTS, ROLLUPS, batches};
use super::values::bind;
use crate::db::{Db, Engine, Tx, assembled};
use crate::usage::rows::{RequestRow, Settlement};
use crate::usage::settling::Amendment;

/// Writes settlements into a database.
pub(in crate::usage) struct Portable {
    db: Db,
    books: Books,
}

impl Portable {
    pub(in crate::usage) async fn open(db: &Db) -> Result<Self, SqlError> {
        Ok(Self { db: db.clone(), books: Books::new(next_numbers(db).await?, skew(db).await?) })
    }

    /// Writes a batch in one transaction, its hourly sums with it.
    pub(in crate::usage) async fn write(
        &mut self,
        batch: &[&Settlement],
        amendments: &[Amendment],
    ) -> Result<(), SqlError> {
        let storable: Vec<_> = batch.iter().map(|one| storable(self.db.engine(), one)).collect();
        let batch = &storable.iter().collect::<Vec<_>>()[..];
        let added = self.books.add(batch, amendments);
        let mut change = self.db.begin("ledger").await?;
        rare::write((&mut change).into(), batch, amendments, added.skew).await?;
        let mut contents = self.books.contents(batch, &added);
        for part in batches(contents.rows()) {
            let rows = contents.take(part);
            insert(&mut change, (&DIMENSIONS, part.dimensions), rows.dimensions()).await?;
            insert(&mut change, (&REQUESTS, part.requests), rows.requests()).await?;
            insert(&mut change, (&ATTEMPTS, part.attempts), rows.attempts()).await?;
            insert(&mut change, (&ROLLUPS, part.cells), rows.cells()).await?;
        }
        change.commit().await?;
        self.books.written(&added);
        Ok(())
    }
}

async fn insert<'a>(
    change: &mut Tx,
    (insert, rows): (&Insert, usize),
    values: impl Iterator<Item = Stored<'a>>,
) -> Result<(), SqlError> {
    if rows == 0 {
        return Ok(());
    }
    bind(assembled(insert.numbered(rows)), values).execute(change).await.map(drop)
}

/// A settlement whose callers' texts the database can hold.
fn storable(engine: Engine, settlement: &Settlement) -> Settlement {
    let text = |text: &mut Arc<str>| {
        if text.contains('\0') {
            *text = engine.storable(text).into();
        }
    };
    let mut settlement = settlement.clone();
    let RequestRow { user, session, tags, requested_model, provider, model, error_code, .. } = &mut *settlement.request;
    [user, session, provider, model, error_code].into_iter().flatten().for_each(text);
    text(requested_model);
    tags.iter_mut().flat_map(|(name, value)| [name, value]).for_each(text);
    for row in &mut settlement.attempts {
        [&mut row.provider, &mut row.model].into_iter().chain(&mut row.error_code).for_each(text);
    }
    settlement
}
