//! Datasets: items to evaluate and to train with, in versions that never change.

mod error;
mod export;
mod id;
mod import;
mod item;
mod name;
mod records;
mod rows;
mod split;
mod store;
#[cfg(test)]
mod tests;

use serde_json::{Value, json};

use self::id::new_id;
use crate::db::Db;
use crate::pool::Pool;
use crate::types::{RequestId, Timestamp};

pub use self::error::Error;
pub use self::export::Export;
pub use self::import::{Checked, Import, Origin, check};
pub use self::item::{Input, Item};
pub use self::name::DatasetName;
pub use self::records::Form;
pub use self::split::Split;
pub use self::store::{Dataset, Placed, Version};

/// How old an import is at least that its process or its caller left behind, in microseconds: a day.
const LEFT_OVER: i64 = 86_400_000_000;
/// The rows of a page, where no number is asked for and at most.
const PAGE: usize = 50;
const LARGEST_PAGE: usize = 500;

/// All datasets. Copies are the same.
#[derive(Clone, Debug)]
pub struct Datasets {
    db: Db,
}

/// A version as it is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overview {
    /// The dataset.
    pub dataset: Dataset,
    /// Which version of it.
    pub version: i64,
    /// Every version up to that one, the newest first.
    pub versions: Vec<Version>,
    /// How many items each part has, in the order of [`Split::ALL`].
    pub splits: [i64; 3],
    /// How many items have the same input as another.
    pub equal_inputs: i64,
}

impl Datasets {
    /// The datasets in `db`.
    #[must_use]
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Makes a dataset without items.
    ///
    /// # Errors
    /// [`Error::Taken`]; where the database fails.
    pub async fn create(
        &self,
        project: &str,
        name: &DatasetName,
        key_id: &str,
        now: Timestamp,
    ) -> Result<Dataset, Error> {
        let (id, project, name) = (new_id(), project.to_owned(), name.to_string());
        let dataset = Dataset { id, project, name, created_at: now, newest: 0 };
        if store::add(&self.db, &dataset, key_id).await? { Ok(dataset) } else { Err(Error::Taken(dataset.name)) }
    }

    /// Every dataset, or every one of a project, by name.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn list(&self, project: Option<&str>) -> Result<Vec<Dataset>, Error> {
        Ok(store::list(&self.db, project).await?)
    }

    /// A project's dataset.
    ///
    /// # Errors
    /// [`Error::NoSuchDataset`]; where the database fails.
    pub async fn find(&self, project: &str, name: &str) -> Result<Dataset, Error> {
        let found = store::find(&self.db, project, name).await?;
        found.ok_or_else(|| Error::NoSuchDataset(name.chars().take(80).collect()))
    }

    /// Begins an import, whose items come after those of the newest version.
    #[must_use]
    pub fn import<'a>(&self, pool: &'a Pool, dataset: Dataset, form: Form) -> Import<'a> {
        Import::begin((self.db.clone(), pool), dataset, form)
    }

    /// A version, the newest where none is named.
    ///
    /// # Errors
    /// [`Error::NoSuchVersion`]; where the database fails.
    pub async fn overview(&self, dataset: Dataset, version: Option<i64>) -> Result<Overview, Error> {
        let version = version_of(&dataset, version)?;
        let mut versions = store::versions(&self.db, &dataset).await?;
        versions.retain(|one| one.version <= version);
        let (splits, equal_inputs) = store::counts(&self.db, (&dataset, version)).await?;
        Ok(Overview { dataset, version, versions, splits, equal_inputs })
    }

    /// A page of a version's items, in order, and where the next one begins.
    ///
    /// # Errors
    /// [`Error::NoSuchVersion`]; where the database fails.
    pub async fn items(
        &self,
        (dataset, version): (&Dataset, Option<i64>),
        split: Option<Split>,
        (behind, limit): (Option<(i64, i64)>, Option<usize>),
    ) -> Result<(Vec<Placed>, Option<(i64, i64)>), Error> {
        let version = version_of(dataset, version)?;
        let limit = limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        let behind = behind.unwrap_or((0, -1));
        let mut items = store::items(&self.db, (dataset, version), split, (behind, limit + 1)).await?;
        let has_more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| has_more).map(|placed| placed.place);
        Ok((items, next))
    }

    /// Begins an export of a version, or of one part of it.
    ///
    /// # Errors
    /// [`Error::NoSuchVersion`]; where the database fails.
    pub async fn export(
        &self,
        (dataset, version): (Dataset, Option<i64>),
        split: Option<Split>,
        form: Form,
    ) -> Result<Export, Error> {
        let version = version_of(&dataset, version)?;
        Export::begin(self.db.clone(), (dataset, version), split, form).await
    }

    /// Deletes the items that were collected from some requests; returns how many there were. Versions that had them have fewer
    /// items then.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn erase(&self, requests: &[RequestId]) -> Result<u64, Error> {
        Ok(store::erase(&self.db, requests).await?)
    }

    /// Deletes what imports left that never ended.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn tidy_up(&self, now: Timestamp) -> Result<(), Error> {
        let before = RequestId::first_at(Timestamp(now.0.saturating_sub(LEFT_OVER))).to_string();
        for import in store::left_over(&self.db, &before).await? {
            store::discard(&self.db, &import).await?;
        }
        Ok(())
    }
}

/// The version that is asked for: the newest where none is named.
fn version_of(dataset: &Dataset, version: Option<i64>) -> Result<i64, Error> {
    let version = version.unwrap_or(dataset.newest);
    if version > dataset.newest || version < 0 || (version == 0 && dataset.newest > 0) {
        let (name, newest) = (dataset.name.clone(), dataset.newest);
        return Err(Error::NoSuchVersion { name, version, newest });
    }
    Ok(version)
}

impl Dataset {
    /// The dataset as lists show it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({"name": self.name, "project": self.project, "created_at": self.created_at, "version": self.newest})
    }
}

impl Version {
    /// The version as the API shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let note = self.note.as_deref().map(|note| serde_json::from_str(note).unwrap_or_else(|_| Value::from(note)));
        json!({"version": self.version, "source": self.source, "at": self.at, "key_id": self.key_id,
            "added": self.added, "note": note})
    }
}

impl Overview {
    /// The version as the API shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let [train, validation, test] = self.splits;
        let versions: Vec<Value> = self.versions.iter().map(Version::json).collect();
        json!({
            "name": self.dataset.name, "project": self.dataset.project, "created_at": self.dataset.created_at,
            "version": self.version, "items": train + validation + test,
            "splits": {"train": train, "validation": validation, "test": test},
            "equal_inputs": self.equal_inputs, "versions": versions,
        })
    }
}

impl Placed {
    /// The item as lists show it: with its place and its part.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut item = self.item.json();
        item["split"] = self.split.text().into();
        item
    }
}
