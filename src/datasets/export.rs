//! An export: a version's items, piece by piece, in the form of an import.

use super::error::Error;
use super::records::Form;
use super::rows::Head;
use super::split::Split;
use super::store::{self, Dataset, Placed};
use crate::db::Db;

/// Items that are read at once.
const AT_ONCE: usize = 200;
/// The most columns of an export as CSV.
const MOST_COLUMNS: usize = 1_000;

/// An export under way.
pub struct Export {
    db: Db,
    of: (Dataset, i64),
    split: Option<Split>,
    /// The columns of CSV.
    head: Option<Head>,
    behind: Option<(i64, i64)>,
    at_end: bool,
}

impl Export {
    pub(super) async fn begin(db: Db, of: (Dataset, i64), split: Option<Split>, form: Form) -> Result<Self, Error> {
        let mut export = Self { db, of, split, head: None, behind: None, at_end: false };
        if form == Form::Csv {
            // What a version has never changes, so the columns are those of a look at all of it.
            let mut head = Head::of([]);
            let mut behind = (0, -1);
            loop {
                let some = export.read(behind).await?;
                let Some(last) = some.last() else { break };
                behind = last.place;
                head.join(Head::of(some.iter().map(|placed| &placed.item)));
                if head.names().len() > MOST_COLUMNS {
                    let problem = format!("these items have more than {MOST_COLUMNS} variables and tags; use jsonl");
                    return Err(Error::field("format", problem));
                }
            }
            export.head = Some(head);
        }
        Ok(export)
    }

    async fn read(&self, behind: (i64, i64)) -> Result<Vec<Placed>, Error> {
        let (dataset, version) = &self.of;
        Ok(store::items(&self.db, (dataset, *version), self.split, (behind, AT_ONCE)).await?)
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn piece(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.at_end {
            return Ok(None);
        }
        let some = self.read(self.behind.unwrap_or((0, -1))).await?;
        let is_first = self.behind.is_none();
        self.at_end = some.len() < AT_ONCE;
        self.behind = some.last().map(|placed| placed.place).or(Some((0, -1)));
        Ok(Some(match &self.head {
            Some(head) => rows(head, &some, is_first),
            None => some.iter().map(|placed| format!("{}\n", placed.json())).collect::<String>().into_bytes(),
        }))
    }
}

/// Items as rows of CSV, under their head where they are the first.
fn rows(head: &Head, items: &[Placed], is_first: bool) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // In memory, and every row has a cell for each column: nothing can fail.
    if is_first {
        let _written = writer.write_record(head.names());
    }
    for placed in items {
        let _written = writer.write_record(head.cells(&placed.item));
    }
    writer.into_inner().unwrap_or_default()
}
