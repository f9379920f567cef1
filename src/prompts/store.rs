//! The registry's SQL.

use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// What statements run on, and how they fail; `sqlx` itself is named in this file only.
pub(super) use sqlx::{Error as SqlError, SqliteConnection as Connection};

use super::author::Author;
use super::draft::Draft;
use crate::types::{Label, PromptName, Timestamp};

pub(super) struct PromptRow {
    pub(super) name: String,
    pub(super) created_at: Timestamp,
    pub(super) last_used_at: Option<Timestamp>,
}

pub(super) struct VersionRow {
    pub(super) seq: i64,
    pub(super) name: String,
    pub(super) version: u32,
    pub(super) hash: String,
    pub(super) content: String,
    pub(super) message: String,
    pub(super) key_id: String,
    pub(super) author: String,
    pub(super) created_at: Timestamp,
}

pub(super) struct LabelRow {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) protected: bool,
    pub(super) updated_at: Timestamp,
    pub(super) target: Target,
}

/// One version that a label points at, with its share of the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The version.
    pub version: u32,
    /// Its weight among the label's targets.
    pub weight: u32,
}

/// One move of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// Where it pointed; none for a new label.
    pub before: Option<Vec<Target>>,
    /// Where it points since.
    pub after: Vec<Target>,
    /// Whether only an admin key may move it since.
    pub protected: bool,
    /// Why.
    pub reason: String,
    /// With which key.
    pub key_id: String,
    /// Who.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

fn version_of(row: &SqliteRow, column: &str) -> u32 {
    u32::try_from(row.get::<i64, _>(column)).unwrap_or(u32::MAX)
}

fn time_of(row: &SqliteRow, column: &str) -> Timestamp {
    Timestamp(row.get(column))
}

pub(super) async fn prompts(db: &mut Connection) -> Result<Vec<PromptRow>, SqlError> {
    let rows = sqlx::query("select name, created_at, last_used_at from prompts").fetch_all(db).await?;
    let read = |row: &SqliteRow| PromptRow {
        name: row.get("name"),
        created_at: time_of(row, "created_at"),
        last_used_at: row.get::<Option<i64>, _>("last_used_at").map(Timestamp),
    };
    Ok(rows.iter().map(read).collect())
}

pub(super) async fn versions_after(db: &mut Connection, seq: i64) -> Result<Vec<VersionRow>, SqlError> {
    let sql = "select seq, name, version, hash, content, message, key_id, author, created_at \
               from prompt_versions where seq > $1 order by seq";
    let rows = sqlx::query(sql).bind(seq).fetch_all(db).await?;
    let read = |row: &SqliteRow| VersionRow {
        seq: row.get("seq"),
        name: row.get("name"),
        version: version_of(row, "version"),
        hash: row.get("hash"),
        content: row.get("content"),
        message: row.get("message"),
        key_id: row.get("key_id"),
        author: row.get("author"),
        created_at: time_of(row, "created_at"),
    };
    Ok(rows.iter().map(read).collect())
}

pub(super) async fn labels(db: &mut Connection) -> Result<Vec<LabelRow>, SqlError> {
    let sql = "select l.name, l.label, l.protected, l.updated_at, t.version, t.weight from prompt_labels l \
               join prompt_label_targets t on t.name = l.name and t.label = l.label order by t.version";
    let rows = sqlx::query(sql).fetch_all(db).await?;
    let read = |row: &SqliteRow| LabelRow {
        name: row.get("name"),
        label: row.get("label"),
        protected: row.get("protected"),
        updated_at: time_of(row, "updated_at"),
        target: Target { version: version_of(row, "version"), weight: version_of(row, "weight") },
    };
    Ok(rows.iter().map(read).collect())
}

/// The newest version of a prompt and its hash.
pub(super) async fn newest(db: &mut Connection, name: &PromptName) -> Result<Option<(u32, String)>, SqlError> {
    let sql = "select version, hash from prompt_versions where name = $1 order by version desc limit 1";
    let row = sqlx::query(sql).bind(name.as_str()).fetch_optional(db).await?;
    Ok(row.map(|row| (version_of(&row, "version"), row.get("hash"))))
}

/// The hash of one version, where it exists.
pub(super) async fn hash_of(db: &mut Connection, name: &PromptName, version: u32) -> Result<Option<String>, SqlError> {
    let sql = "select hash from prompt_versions where name = $1 and version = $2";
    let row = sqlx::query(sql).bind(name.as_str()).bind(i64::from(version)).fetch_optional(db).await?;
    Ok(row.map(|row| row.get("hash")))
}

pub(super) async fn add_prompt(db: &mut Connection, name: &PromptName, now: Timestamp) -> Result<(), SqlError> {
    let sql = "insert into prompts (name, created_at) values ($1, $2)";
    sqlx::query(sql).bind(name.as_str()).bind(now.0).execute(db).await.map(drop)
}

/// A version about to be stored.
pub(super) struct NewVersion<'a> {
    pub(super) name: &'a PromptName,
    pub(super) version: u32,
    pub(super) draft: &'a Draft,
    pub(super) message: &'a str,
    pub(super) author: &'a Author,
    pub(super) now: Timestamp,
}

pub(super) async fn add_version(db: &mut Connection, new: &NewVersion<'_>) -> Result<(), SqlError> {
    let sql = "insert into prompt_versions (name, version, hash, content, message, key_id, author, created_at) \
               values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let insert = sqlx::query(sql)
        .bind(new.name.as_str())
        .bind(i64::from(new.version))
        .bind(new.draft.hash())
        .bind(new.draft.content())
        .bind(new.message)
        .bind(&new.author.key_id)
        .bind(&new.author.name)
        .bind(new.now.0);
    insert.execute(db).await.map(drop)
}

/// Whether a label is protected, and what it points at.
pub(super) async fn label(
    db: &mut Connection,
    name: &PromptName,
    label: &Label,
) -> Result<Option<(bool, Vec<Target>)>, SqlError> {
    let sql = "select l.protected, t.version, t.weight from prompt_labels l \
               join prompt_label_targets t on t.name = l.name and t.label = l.label \
               where l.name = $1 and l.label = $2 order by t.version";
    let rows = sqlx::query(sql).bind(name.as_str()).bind(label.as_str()).fetch_all(db).await?;
    let target = |row| Target { version: version_of(row, "version"), weight: version_of(row, "weight") };
    let targets = rows.iter().map(target).collect();
    Ok(rows.first().map(|row| (row.get("protected"), targets)))
}

/// Writes where a label points, and whether it is protected, as `change` says.
pub(super) async fn put_label(
    db: &mut Connection,
    name: &PromptName,
    label: &Label,
    change: &Move,
) -> Result<(), SqlError> {
    let upsert = "insert into prompt_labels (name, label, protected, updated_at) values ($1, $2, $3, $4) \
                  on conflict (name, label) do update set protected = $3, updated_at = $4";
    let upsert = sqlx::query(upsert).bind(name.as_str()).bind(label.as_str()).bind(change.protected).bind(change.at.0);
    upsert.execute(&mut *db).await?;
    let clear = "delete from prompt_label_targets where name = $1 and label = $2";
    sqlx::query(clear).bind(name.as_str()).bind(label.as_str()).execute(&mut *db).await?;
    for target in &change.after {
        let insert = "insert into prompt_label_targets (name, label, version, weight) values ($1, $2, $3, $4)";
        let insert = sqlx::query(insert).bind(name.as_str()).bind(label.as_str());
        insert.bind(i64::from(target.version)).bind(i64::from(target.weight)).execute(&mut *db).await?;
    }
    Ok(())
}

pub(super) async fn add_history(
    db: &mut Connection,
    name: &PromptName,
    label: &Label,
    change: &Move,
) -> Result<(), SqlError> {
    let json = |targets: &Vec<Target>| serde_json::to_string(targets).unwrap_or_default();
    let sql = "insert into prompt_label_history (name, label, before, after, protected, reason, key_id, author, at) \
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let insert = sqlx::query(sql)
        .bind(name.as_str())
        .bind(label.as_str())
        .bind(change.before.as_ref().map(json))
        .bind(json(&change.after))
        .bind(change.protected)
        .bind(&change.reason)
        .bind(&change.key_id)
        .bind(&change.author)
        .bind(change.at.0);
    insert.execute(db).await.map(drop)
}

/// A label's moves, newest first, at most 1,000.
pub(super) async fn history(db: &mut Connection, name: &PromptName, label: &Label) -> Result<Vec<Move>, SqlError> {
    let sql = "select before, after, protected, reason, key_id, author, at from prompt_label_history \
               where name = $1 and label = $2 order by seq desc limit 1000";
    let rows = sqlx::query(sql).bind(name.as_str()).bind(label.as_str()).fetch_all(db).await?;
    let targets = |text: &str| serde_json::from_str(text).unwrap_or_default();
    let read = |row: &SqliteRow| Move {
        before: row.get::<Option<String>, _>("before").map(|text| targets(&text)),
        after: targets(row.get("after")),
        protected: row.get("protected"),
        reason: row.get("reason"),
        key_id: row.get("key_id"),
        author: row.get("author"),
        at: time_of(row, "at"),
    };
    Ok(rows.iter().map(read).collect())
}

/// What the last import made or found of a prompt: the version, and the hash of the file.
pub(super) struct Imported {
    pub(super) version: u32,
    pub(super) file_hash: String,
}

pub(super) async fn imported(db: &mut Connection) -> Result<std::collections::HashMap<String, Imported>, SqlError> {
    let sql = "select name, imported_version, imported_hash from prompts where imported_version is not null";
    let rows = sqlx::query(sql).fetch_all(db).await?;
    let read = |row: &SqliteRow| {
        let version = version_of(row, "imported_version");
        (row.get("name"), Imported { version, file_hash: row.get("imported_hash") })
    };
    Ok(rows.iter().map(read).collect())
}

pub(super) async fn set_imported(db: &mut Connection, name: &PromptName, imported: &Imported) -> Result<(), SqlError> {
    let sql = "update prompts set imported_version = $2, imported_hash = $3 where name = $1";
    let update = sqlx::query(sql).bind(name.as_str()).bind(i64::from(imported.version)).bind(&imported.file_hash);
    update.execute(db).await.map(drop)
}

pub(super) async fn set_used(db: &mut Connection, name: &PromptName, used: Timestamp) -> Result<(), SqlError> {
    let sql = "update prompts set last_used_at = $2 where name = $1 and coalesce(last_used_at, 0) < $2";
    sqlx::query(sql).bind(name.as_str()).bind(used.0).execute(db).await.map(drop)
}
