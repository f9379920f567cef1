//! An import: items come piece by piece, and are a version once all of them are there, or not at all.

use std::sync::Arc;
use std::time::Duration;

use super::error::Error;
use super::id::new_id;
use super::item::Item;
use super::records::{Form, Record, Records};
use super::rows::Head;
use super::store::{self, Dataset, Row, Version};
use crate::db::Db;
use crate::pool::Pool;
use crate::types::Timestamp;

/// The most items and bytes of one import.
const MOST_ITEMS: i64 = 1_000_000;
const MOST_BYTES: u64 = 1 << 30;
/// What is read and written at once: items, or bytes of them.
const ITEMS_AT_ONCE: usize = 500;
const BYTES_AT_ONCE: usize = 256 << 10;
/// How long a piece waits for a thread of the pool and is read there.
const PATIENCE: Duration = Duration::from_secs(30);

/// Who makes a version, and from what.
#[derive(Clone, Debug)]
pub struct Origin {
    /// `import` or `collect`.
    pub source: &'static str,
    /// What was asked for, and what was left out, as JSON.
    pub note: Option<String>,
    /// The key.
    pub key_id: Arc<str>,
}

/// An import under way. One that is dropped before its end is of no version, and is deleted later.
pub struct Import<'a> {
    db: Db,
    pool: &'a Pool,
    dataset: Dataset,
    id: String,
    records: Records,
    form: Form,
    head: Option<Head>,
    waiting: Vec<Record>,
    /// The bytes of what waits, and of all that came.
    waiting_bytes: usize,
    bytes: u64,
    count: i64,
}

impl<'a> Import<'a> {
    pub(super) fn begin((db, pool): (Db, &'a Pool), dataset: Dataset, form: Form) -> Self {
        Self {
            db,
            pool,
            dataset,
            id: new_id(),
            records: Records::of(form),
            form,
            head: None,
            waiting: Vec::new(),
            waiting_bytes: 0,
            bytes: 0,
            count: 0,
        }
    }

    /// Takes more bytes.
    ///
    /// # Errors
    /// [`Error::Line`] with the line of the first record that is no item; [`Error::TooLarge`]; where the database fails.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.bytes += bytes.len() as u64;
        if self.bytes > MOST_BYTES {
            return Err(Error::TooLarge(format!("an import has at most {MOST_BYTES} bytes")));
        }
        let mut records = Vec::new();
        let pushed = self.records.push(bytes, &mut records);
        self.take(records).await?;
        pushed
    }

    /// Takes records, and writes those that wait once they are enough.
    async fn take(&mut self, records: Vec<Record>) -> Result<(), Error> {
        for record in records {
            self.waiting_bytes += record.bytes.len();
            self.waiting.push(record);
            if self.waiting.len() >= ITEMS_AT_ONCE || self.waiting_bytes >= BYTES_AT_ONCE {
                self.write().await?;
            }
        }
        Ok(())
    }

    /// Reads what waits, and stores it under no version.
    async fn write(&mut self) -> Result<(), Error> {
        let mut records = std::mem::take(&mut self.waiting);
        self.waiting_bytes = 0;
        if self.form == Form::Csv && self.head.is_none() && !records.is_empty() {
            let Record { line, bytes } = records.remove(0);
            self.head = Some(Head::read(&bytes).map_err(|problem| Error::Line { line, problem })?);
        }
        if records.is_empty() {
            return Ok(());
        }
        let head = self.head.clone();
        let read = move || records.iter().map(|record| row(record, head.as_ref())).collect::<Result<Vec<Row>, Error>>();
        let rows = self.pool.run(PATIENCE, read).await??;
        self.add(&rows).await
    }

    async fn add(&mut self, rows: &[Row]) -> Result<(), Error> {
        let first = self.count;
        self.count += i64::try_from(rows.len()).unwrap_or(MOST_ITEMS);
        if self.count > MOST_ITEMS {
            return Err(Error::TooLarge(format!("an import has at most {MOST_ITEMS} items")));
        }
        Ok(store::add_items(&self.db, (&self.id, first), rows).await?)
    }

    /// Takes items that are no bytes any more.
    ///
    /// # Errors
    /// [`Error::TooLarge`]; where the database fails.
    pub async fn push_items(&mut self, items: &[Item]) -> Result<(), Error> {
        let rows: Vec<Row> = items.iter().map(row_of).collect();
        self.add(&rows).await
    }

    /// Makes all of it the next version. Where that fails, nothing of it is stored.
    ///
    /// # Errors
    /// As [`Self::push`]; [`Error::Empty`].
    pub async fn finish(mut self, origin: Origin, now: Timestamp) -> Result<Version, Error> {
        let ended = self.end(origin, now).await;
        match ended {
            Ok(version) => Ok(version),
            Err(error) => {
                self.discard().await;
                Err(error)
            }
        }
    }

    async fn end(&mut self, origin: Origin, now: Timestamp) -> Result<Version, Error> {
        let mut last = Vec::new();
        self.records.finish(&mut last)?;
        self.take(last).await?;
        self.write().await?;
        if self.count == 0 {
            return Err(Error::Empty);
        }
        let Origin { source, note, key_id } = origin;
        let version = Version {
            version: 0,
            source: source.to_owned(),
            note,
            key_id: key_id.to_string(),
            at: now,
            added: self.count,
        };
        let number = store::publish(&self.db, &self.dataset, &self.id, &version).await?;
        Ok(Version { version: number, ..version })
    }

    /// Deletes what was stored of it.
    pub async fn discard(self) {
        if let Err(error) = store::discard(&self.db, &self.id).await {
            tracing::warn!(%error, "the items of an import that failed are deleted later: {error}");
        }
    }
}

fn row(record: &Record, head: Option<&Head>) -> Result<Row, Error> {
    let wrong = |problem| Error::Line { line: record.line, problem };
    let item = match head {
        Some(head) => Item::read(&head.item(&record.bytes).map_err(wrong)?),
        None => Item::read(&record.bytes),
    };
    item.map(|item| row_of(&item)).map_err(wrong)
}

fn row_of(item: &Item) -> Row {
    Row {
        body: item.json().to_string(),
        split: item.split(),
        input_hash: item.input_hash(),
        request_id: item.request_id.clone(),
    }
}

/// What a file would be as an import: how many items it has, and what is wrong with it, a line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// The items that can be read.
    pub items: u64,
    /// The first problems, each with its line.
    pub problems: Vec<String>,
}

/// The most problems that are named.
const MOST_PROBLEMS: usize = 20;

/// Reads a file as an import would, and stores nothing.
///
/// # Errors
/// Where it cannot be read.
pub fn check(mut file: impl std::io::Read, form: Form) -> std::io::Result<Checked> {
    let (mut records, mut checking) = (Records::of(form), Checking { form, head: None, checked: Checked::default() });
    let mut piece = vec![0; BYTES_AT_ONCE];
    loop {
        let read = file.read(&mut piece)?;
        let mut whole = Vec::new();
        let cut = if read == 0 { records.finish(&mut whole) } else { records.push(&piece[..read], &mut whole) };
        let looked = whole.iter().try_for_each(|record| checking.look(record));
        if let Err(error) = &cut {
            checking.checked.problems.push(said(error));
        }
        if read == 0 || cut.is_err() || looked.is_err() || checking.checked.problems.len() >= MOST_PROBLEMS {
            checking.checked.problems.truncate(MOST_PROBLEMS);
            return Ok(checking.checked);
        }
    }
}

/// A file that is being checked.
struct Checking {
    form: Form,
    head: Option<Head>,
    checked: Checked,
}

/// Without its head no row of a table can be read.
struct NoHead;

impl Checking {
    fn look(&mut self, record: &Record) -> Result<(), NoHead> {
        if self.form == Form::Csv && self.head.is_none() {
            let head = Head::read(&record.bytes).map_err(|problem| {
                self.checked.problems.push(format!("line {}: {problem}", record.line));
                NoHead
            })?;
            self.head = Some(head);
            return Ok(());
        }
        match row(record, self.head.as_ref()) {
            Ok(_) => self.checked.items += 1,
            Err(error) => self.checked.problems.push(said(&error)),
        }
        Ok(())
    }
}

/// A problem without what an import adds to it.
fn said(error: &Error) -> String {
    match error {
        Error::Line { line, problem } => format!("line {line}: {problem}"),
        error => error.to_string(),
    }
}
