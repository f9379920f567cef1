//! The SQL of datasets.

use super::item::Item;
use super::split::Split;
use crate::db::{self, Db, Error, Query, Tx, assembled, query};
use crate::types::{RequestId, Timestamp};

/// Rows that one statement writes, and that one transaction deletes.
const AT_ONCE: usize = 100;
const DELETED_AT_ONCE: i64 = 2_000;

/// A dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    pub(super) id: String,
    /// Whose it is.
    pub project: String,
    /// Its name in the project.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// Its newest version; 0 where it has no items yet.
    pub newest: i64,
}

/// A version of a dataset: an import, with all that came before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub version: i64,
    /// `import` or `collect`.
    pub source: String,
    /// What was asked for, and what was left out, as JSON.
    pub note: Option<String>,
    /// The key that made it.
    pub key_id: String,
    /// When.
    pub at: Timestamp,
    /// How many items it added.
    pub added: i64,
}

/// An item as it is stored.
pub(super) struct Row {
    pub(super) body: String,
    pub(super) split: Split,
    pub(super) input_hash: String,
    pub(super) request_id: Option<String>,
}

/// An item of a version, and its place: the version that added it, and its number there.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// The version that added it, and its number there, from 0.
    pub place: (i64, i64),
    /// The part that it belongs to.
    pub split: Split,
    /// The item.
    pub item: Item,
}

/// The columns of a dataset, in the order of [`dataset`].
const DATASET: &str = "select id, project, name, created_at, \
    (select coalesce(max(version), 0) from dataset_versions v where v.dataset_id = datasets.id) from datasets";

/// Stores a new dataset; false where the project has one of this name.
pub(super) async fn add(db: &Db, dataset: &Dataset, key_id: &str) -> Result<bool, Error> {
    let mut change = db.begin("datasets").await?;
    let insert = "insert into datasets (id, project, name, key_id, created_at) values ($1, $2, $3, $4, $5) \
                  on conflict (project, name) do nothing";
    let insert = query(insert).bind(&*dataset.id).bind(&*dataset.project).bind(&*dataset.name).bind(key_id);
    let added = insert.bind(dataset.created_at.0).execute(&mut change).await?;
    change.commit().await?;
    Ok(added > 0)
}

/// The dataset of this name.
pub(super) async fn find(db: &Db, project: &str, name: &str) -> Result<Option<Dataset>, Error> {
    let select = assembled(format!("{DATASET} where project = $1 and name = $2"));
    let row = select.bind(project).bind(name).fetch_optional(db).await?;
    row.as_ref().map(dataset).transpose()
}

/// Every dataset, or every one of a project, by name.
pub(super) async fn list(db: &Db, project: Option<&str>) -> Result<Vec<Dataset>, Error> {
    let only = if project.is_some() { "where project = $1" } else { "" };
    let select = assembled(format!("{DATASET} {only} order by project, name"));
    let rows = project.into_iter().fold(select, Query::bind).fetch_all(db).await?;
    rows.iter().map(dataset).collect()
}

fn dataset(row: &db::Row) -> Result<Dataset, Error> {
    Ok(Dataset {
        id: row.get(0)?,
        project: row.get(1)?,
        name: row.get(2)?,
        created_at: Timestamp(row.get(3)?),
        newest: row.get(4)?,
    })
}

/// Stores some items of an import, the first of which is its number `first`.
pub(super) async fn add_items(db: &Db, (import, first): (&str, i64), rows: &[Row]) -> Result<(), Error> {
    let mut change = db.begin("datasets").await?;
    let mut n = first;
    for some in rows.chunks(AT_ONCE) {
        let row = |at: usize| {
            let places: Vec<String> = (at * 6 + 1..=at * 6 + 6).map(|place| format!("${place}")).collect();
            format!("({})", places.join(", "))
        };
        let values: Vec<String> = (0..some.len()).map(row).collect();
        let mut insert = assembled(format!(
            "insert into dataset_items (import_id, n, body, split, input_hash, request_id) values {}",
            values.join(", ")
        ));
        for Row { body, split, input_hash, request_id } in some {
            insert = insert.bind(import).bind(n).bind(&**body).bind(split.text()).bind(&**input_hash);
            insert = insert.bind(request_id.as_deref());
            n += 1;
        }
        insert.execute(&mut change).await?;
    }
    change.commit().await
}

/// Makes an import the next version; its number.
pub(super) async fn publish(db: &Db, dataset: &Dataset, import: &str, version: &Version) -> Result<i64, Error> {
    let mut change = db.begin("datasets").await?;
    let next = next_version(&mut change, &dataset.id).await?;
    let insert = "insert into dataset_versions (dataset_id, version, import_id, source, note, key_id, at) \
                  values ($1, $2, $3, $4, $5, $6, $7)";
    let insert = query(insert).bind(&*dataset.id).bind(next).bind(import).bind(&*version.source);
    let insert = insert.bind(version.note.as_deref()).bind(&*version.key_id).bind(version.at.0);
    insert.execute(&mut change).await?;
    change.commit().await?;
    Ok(next)
}

async fn next_version(change: &mut Tx, dataset: &str) -> Result<i64, Error> {
    let select = query("select coalesce(max(version), 0) + 1 from dataset_versions where dataset_id = $1");
    select.bind(dataset).fetch_one(change).await?.get(0)
}

/// Deletes the items of an import that is of no version, in small transactions.
pub(super) async fn discard(db: &Db, import: &str) -> Result<(), Error> {
    loop {
        let mut change = db.begin("datasets").await?;
        let delete = "delete from dataset_items where import_id = $1 and n in \
                      (select n from dataset_items where import_id = $1 order by n limit $2) \
                      and not exists (select 1 from dataset_versions v where v.import_id = $1)";
        let gone = query(delete).bind(import).bind(DELETED_AT_ONCE).execute(&mut change).await?;
        change.commit().await?;
        if gone == 0 {
            return Ok(());
        }
    }
}

/// Imports that began before `import` would have and are of no version: their process or their caller ended.
pub(super) async fn left_over(db: &Db, import: &str) -> Result<Vec<String>, Error> {
    // One look into the index for each import, and none at the items.
    let select = "with recursive known (import_id) as (select min(import_id) from dataset_items union all \
                  select (select min(import_id) from dataset_items where import_id > known.import_id) from known \
                  where known.import_id is not null) select import_id from known where import_id is not null \
                  and import_id < $1 and import_id not in (select import_id from dataset_versions)";
    query(select).bind(import).fetch_all(db).await?.iter().map(|row| row.get(0)).collect()
}

/// The versions of a dataset, newest first.
pub(super) async fn versions(db: &Db, dataset: &Dataset) -> Result<Vec<Version>, Error> {
    let select = "select version, source, note, key_id, at, \
                  (select count(*) from dataset_items i where i.import_id = v.import_id) \
                  from dataset_versions v where dataset_id = $1 order by version desc";
    let rows = query(select).bind(&*dataset.id).fetch_all(db).await?;
    let read = |row: &db::Row| {
        Ok(Version {
            version: row.get(0)?,
            source: row.get(1)?,
            note: row.get(2)?,
            key_id: row.get(3)?,
            at: Timestamp(row.get(4)?),
            added: row.get(5)?,
        })
    };
    rows.iter().map(read).collect()
}

/// Items of a version behind a place, in order; of one part alone where that is named.
pub(super) async fn items(
    db: &Db,
    (dataset, version): (&Dataset, i64),
    split: Option<Split>,
    (behind, limit): ((i64, i64), usize),
) -> Result<Vec<Placed>, Error> {
    let only = if split.is_some() { "and i.split = $5" } else { "" };
    let select = assembled(format!(
        "select v.version, i.n, i.body, i.split from dataset_versions v join dataset_items i on i.import_id = v.import_id \
         where v.dataset_id = $1 and v.version <= $2 and v.version >= $3 and (v.version > $3 or i.n > $4) {only} \
         order by v.version, i.n limit {limit}"
    ));
    let select = select.bind(&*dataset.id).bind(version).bind(behind.0).bind(behind.1);
    let rows = split.into_iter().fold(select, |select, split| select.bind(split.text())).fetch_all(db).await?;
    rows.iter().map(placed).collect()
}

fn placed(row: &db::Row) -> Result<Placed, Error> {
    let item = Item::read(row.get::<&str>(2)?.as_bytes()).map_err(|_| Error::unreadable("body"))?;
    let split = row.get::<&str>(3)?.parse().map_err(|_| Error::unreadable("split"))?;
    Ok(Placed { place: (row.get(0)?, row.get(1)?), split, item })
}

/// How many items of a version each part has, and how many have the same input as an earlier one.
pub(super) async fn counts(db: &Db, (dataset, version): (&Dataset, i64)) -> Result<([i64; 3], i64), Error> {
    let of = "from dataset_versions v join dataset_items i on i.import_id = v.import_id \
              where v.dataset_id = $1 and v.version <= $2";
    let select = assembled(format!("select i.split, count(*) {of} group by i.split"));
    let mut parts = [0; 3];
    for row in select.bind(&*dataset.id).bind(version).fetch_all(db).await? {
        let split: Split = row.get::<&str>(0)?.parse().map_err(|_| Error::unreadable("split"))?;
        parts[split as usize] = row.get(1)?;
    }
    let select = assembled(format!("select count(*) - count(distinct i.input_hash) {of}"));
    let equal = select.bind(&*dataset.id).bind(version).fetch_one(db).await?.get(0)?;
    Ok((parts, equal))
}

/// Deletes the items that were collected from some requests; returns how many there were.
pub(super) async fn erase(db: &Db, requests: &[RequestId]) -> Result<u64, Error> {
    if requests.is_empty() {
        return Ok(0);
    }
    let places: Vec<String> = (1..=requests.len()).map(|n| format!("${n}")).collect();
    let mut change = db.begin("datasets").await?;
    let delete = assembled(format!("delete from dataset_items where request_id in ({})", places.join(", ")));
    let gone = requests.iter().fold(delete, |delete, id| delete.bind(id.to_string())).execute(&mut change).await?;
    change.commit().await?;
    Ok(gone)
}
