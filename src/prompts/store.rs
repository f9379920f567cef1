//! The registry's SQL.

use serde::{Deserialize, Serialize};

use super::author::Author;
use super::draft::Draft;
use crate::db::{Db, Error, Executor, Row, Tx, query};
use crate::types::{Label, PromptName, Timestamp};

/// The most renamings that are followed from an old name.
pub(super) const MOST_NAMES: usize = 32;

pub(super) struct PromptRow {
    pub(super) name: PromptName,
    pub(super) created_at: Timestamp,
    pub(super) last_used_at: Option<Timestamp>,
    pub(super) archived_at: Option<Timestamp>,
    pub(super) renamed_to: Option<PromptName>,
}

/// Whether a prompt answers calls by its name.
pub(super) struct State {
    pub(super) archived: bool,
    pub(super) renamed_to: Option<PromptName>,
}

/// What became of a whole prompt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptChange {
    /// `archived`, `unarchived` or `renamed`.
    pub change: String,
    /// The name before, where it was renamed.
    pub renamed_from: Option<String>,
    /// Why.
    pub reason: String,
    /// With which key.
    pub key_id: String,
    /// Who.
    pub author: String,
    /// When.
    pub at: Timestamp,
}

/// A prompt's old name and its new one.
pub(super) struct Renaming<'a> {
    pub(super) from: &'a PromptName,
    pub(super) to: &'a PromptName,
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
    /// The version's weight among the label's targets.
    pub weight: u32,
}

/// One move of a label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Move {
    /// The label.
    pub label: String,
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

fn version_of(row: &Row, column: &str) -> Result<u32, Error> {
    Ok(u32::try_from(row.get::<i64>(column)?).unwrap_or(u32::MAX))
}

fn time_of(row: &Row, column: &str) -> Result<Timestamp, Error> {
    Ok(Timestamp(row.get(column)?))
}

fn target_of(row: &Row) -> Result<Target, Error> {
    Ok(Target { version: version_of(row, "version")?, weight: version_of(row, "weight")? })
}

pub(super) async fn prompts(tx: &mut Tx) -> Result<Vec<PromptRow>, Error> {
    let sql = "select name, created_at, last_used_at, archived_at, renamed_to from prompts";
    let rows = query(sql).fetch_all(tx).await?;
    let read = |row: &Row| {
        Ok(PromptRow {
            name: name_of(row, "name")?,
            created_at: time_of(row, "created_at")?,
            last_used_at: row.get::<Option<i64>>("last_used_at")?.map(Timestamp),
            archived_at: row.get::<Option<i64>>("archived_at")?.map(Timestamp),
            renamed_to: renamed_to(row)?,
        })
    };
    // A name that is none can be called by nobody.
    rows.iter().filter(|row| name_of(row, "name").is_ok()).map(read).collect()
}

fn name_of(row: &Row, column: &str) -> Result<PromptName, Error> {
    row.get::<&str>(column)?.parse().map_err(|_| Error::unreadable(column))
}

fn renamed_to(row: &Row) -> Result<Option<PromptName>, Error> {
    let to = row.get::<Option<&str>>("renamed_to")?;
    to.map(|to| to.parse().map_err(|_| Error::unreadable("renamed_to"))).transpose()
}

pub(super) async fn versions_after(tx: &mut Tx, seq: i64) -> Result<Vec<VersionRow>, Error> {
    let sql = "select seq, name, version, hash, content, message, key_id, author, created_at \
               from prompt_versions where seq > $1 order by seq";
    query(sql).bind(seq).fetch_all(tx).await?.iter().map(version_row).collect()
}

/// The versions of one prompt up to `seq`, in their order.
pub(super) async fn versions_until(tx: &mut Tx, name: &PromptName, seq: i64) -> Result<Vec<VersionRow>, Error> {
    let sql = "select seq, name, version, hash, content, message, key_id, author, created_at \
               from prompt_versions where name = $1 and seq <= $2 order by version";
    query(sql).bind(name.as_str()).bind(seq).fetch_all(tx).await?.iter().map(version_row).collect()
}

fn version_row(row: &Row) -> Result<VersionRow, Error> {
    Ok(VersionRow {
        seq: row.get("seq")?,
        name: row.get("name")?,
        version: version_of(row, "version")?,
        hash: row.get("hash")?,
        content: row.get("content")?,
        message: row.get("message")?,
        key_id: row.get("key_id")?,
        author: row.get("author")?,
        created_at: time_of(row, "created_at")?,
    })
}

pub(super) async fn labels(tx: &mut Tx) -> Result<Vec<LabelRow>, Error> {
    let sql = "select l.name, l.label, l.protected, l.updated_at, t.version, t.weight from prompt_labels l \
               join prompt_label_targets t on t.name = l.name and t.label = l.label order by t.version";
    let rows = query(sql).fetch_all(tx).await?;
    let read = |row: &Row| {
        Ok(LabelRow {
            name: row.get("name")?,
            label: row.get("label")?,
            protected: row.get("protected")?,
            updated_at: time_of(row, "updated_at")?,
            target: target_of(row)?,
        })
    };
    rows.iter().map(read).collect()
}

/// The newest version of a prompt and its hash.
pub(super) async fn newest(tx: &mut Tx, name: &PromptName) -> Result<Option<(u32, String)>, Error> {
    let sql = "select version, hash from prompt_versions where name = $1 order by version desc limit 1";
    let row = query(sql).bind(name.as_str()).fetch_optional(tx).await?;
    row.map(|row| Ok((version_of(&row, "version")?, row.get("hash")?))).transpose()
}

/// The hash of one version, where it exists.
pub(super) async fn hash_of(tx: &mut Tx, name: &PromptName, version: u32) -> Result<Option<String>, Error> {
    let sql = "select hash from prompt_versions where name = $1 and version = $2";
    let row = query(sql).bind(name.as_str()).bind(i64::from(version)).fetch_optional(tx).await?;
    row.map(|row| row.get("hash")).transpose()
}

/// The key that made one version, where that exists.
pub(super) async fn key_of(tx: &mut Tx, name: &PromptName, version: u32) -> Result<Option<String>, Error> {
    let sql = "select key_id from prompt_versions where name = $1 and version = $2";
    let row = query(sql).bind(name.as_str()).bind(i64::from(version)).fetch_optional(tx).await?;
    row.map(|row| row.get("key_id")).transpose()
}

pub(super) async fn add_prompt(tx: &mut Tx, name: &PromptName, now: Timestamp) -> Result<(), Error> {
    let sql = "insert into prompts (name, created_at) values ($1, $2)";
    query(sql).bind(name.as_str()).bind(now.0).execute(tx).await.map(drop)
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

pub(super) async fn add_version(tx: &mut Tx, new: &NewVersion<'_>) -> Result<(), Error> {
    let sql = "insert into prompt_versions (name, version, hash, content, message, key_id, author, created_at) \
               values ($1, $2, $3, $4, $5, $6, $7, $8)";
    let insert = query(sql)
        .bind(new.name.as_str())
        .bind(i64::from(new.version))
        .bind(new.draft.hash())
        .bind(new.draft.content())
        .bind(new.message)
        .bind(&*new.author.key_id)
        .bind(&*new.author.name)
        .bind(new.now.0);
    insert.execute(tx).await.map(drop)
}

/// Whether a label is protected, and what it points at.
pub(super) async fn label(tx: &mut Tx, name: &PromptName, label: &Label) -> Result<Option<(bool, Vec<Target>)>, Error> {
    let sql = "select l.protected, t.version, t.weight from prompt_labels l \
               join prompt_label_targets t on t.name = l.name and t.label = l.label \
               where l.name = $1 and l.label = $2 order by t.version";
    let rows = query(sql).bind(name.as_str()).bind(label.as_str()).fetch_all(tx).await?;
    let Some(first) = rows.first() else { return Ok(None) };
    let targets: Result<Vec<_>, Error> = rows.iter().map(target_of).collect();
    Ok(Some((first.get("protected")?, targets?)))
}

/// Writes where a label points, and whether it is protected, as `change` says.
pub(super) async fn put_label(tx: &mut Tx, name: &PromptName, label: &Label, change: &Move) -> Result<(), Error> {
    let upsert = "insert into prompt_labels (name, label, protected, updated_at) values ($1, $2, $3, $4) \
                  on conflict (name, label) do update set protected = $3, updated_at = $4";
    let upsert = query(upsert).bind(name.as_str()).bind(label.as_str()).bind(change.protected).bind(change.at.0);
    upsert.execute(&mut *tx).await?;
    clear_label(tx, name, label).await?;
    for target in &change.after {
        let insert = "insert into prompt_label_targets (name, label, version, weight) values ($1, $2, $3, $4)";
        let insert = query(insert).bind(name.as_str()).bind(label.as_str());
        insert.bind(i64::from(target.version)).bind(i64::from(target.weight)).execute(&mut *tx).await?;
    }
    Ok(())
}

async fn clear_label(tx: &mut Tx, name: &PromptName, label: &Label) -> Result<(), Error> {
    let clear = "delete from prompt_label_targets where name = $1 and label = $2";
    query(clear).bind(name.as_str()).bind(label.as_str()).execute(tx).await.map(drop)
}

pub(super) async fn remove_label(tx: &mut Tx, name: &PromptName, label: &Label) -> Result<(), Error> {
    clear_label(tx, name, label).await?;
    let remove = "delete from prompt_labels where name = $1 and label = $2";
    query(remove).bind(name.as_str()).bind(label.as_str()).execute(tx).await.map(drop)
}

/// Who made a label's last move, and why.
pub(super) struct LastMove {
    pub(super) key_id: String,
    pub(super) reason: String,
}

/// The last move of a label; none of one that was never set.
pub(super) async fn last_move(tx: &mut Tx, name: &PromptName, label: &Label) -> Result<Option<LastMove>, Error> {
    let sql =
        "select key_id, reason from prompt_label_history where name = $1 and label = $2 order by seq desc limit 1";
    let row = query(sql).bind(name.as_str()).bind(label.as_str()).fetch_optional(tx).await?;
    row.map(|row| Ok(LastMove { key_id: row.get("key_id")?, reason: row.get("reason")? })).transpose()
}

pub(super) async fn add_history(tx: &mut Tx, name: &PromptName, label: &Label, change: &Move) -> Result<(), Error> {
    let json = |targets: &Vec<Target>| serde_json::to_string(targets).unwrap_or_default();
    let sql = "insert into prompt_label_history (name, label, before, after, protected, reason, key_id, author, at) \
               values ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let insert = query(sql)
        .bind(name.as_str())
        .bind(label.as_str())
        .bind(change.before.as_ref().map(json))
        .bind(json(&change.after))
        .bind(change.protected)
        .bind(&*change.reason)
        .bind(&*change.key_id)
        .bind(&*change.author)
        .bind(change.at.0);
    insert.execute(tx).await.map(drop)
}

/// The moves of a prompt's labels, or of one, newest first, at most 1,000.
pub(super) async fn history(db: &Db, name: &PromptName, label: Option<&Label>) -> Result<Vec<Move>, Error> {
    let sql = "select label, before, after, protected, reason, key_id, author, at from prompt_label_history \
               where name = $1 and ($2 = '' or label = $2) order by seq desc limit 1000";
    let label = label.map_or("", Label::as_str);
    let rows = query(sql).bind(name.as_str()).bind(label).fetch_all(db).await?;
    let targets = |text: &str| serde_json::from_str(text).unwrap_or_default();
    let read = |row: &Row| {
        Ok(Move {
            label: row.get("label")?,
            before: row.get::<Option<&str>>("before")?.map(targets),
            after: targets(row.get("after")?),
            protected: row.get("protected")?,
            reason: row.get("reason")?,
            key_id: row.get("key_id")?,
            author: row.get("author")?,
            at: time_of(row, "at")?,
        })
    };
    rows.iter().map(read).collect()
}

/// What the last import made or found of a prompt: the version, and the hash of the file.
pub(super) struct Imported {
    pub(super) version: u32,
    pub(super) file_hash: String,
}

pub(super) async fn imported(
    on: impl Into<Executor<'_>>,
) -> Result<std::collections::HashMap<String, Imported>, Error> {
    let sql = "select name, imported_version, imported_hash from prompts where imported_version is not null";
    let rows = query(sql).fetch_all(on).await?;
    let read = |row: &Row| {
        let version = version_of(row, "imported_version")?;
        Ok((row.get("name")?, Imported { version, file_hash: row.get("imported_hash")? }))
    };
    rows.iter().map(read).collect()
}

pub(super) async fn set_imported(tx: &mut Tx, name: &PromptName, imported: &Imported) -> Result<(), Error> {
    let sql = "update prompts set imported_version = $2, imported_hash = $3 where name = $1";
    let update = query(sql).bind(name.as_str()).bind(i64::from(imported.version)).bind(&*imported.file_hash);
    update.execute(tx).await.map(drop)
}

pub(super) async fn set_used(tx: &mut Tx, name: &PromptName, used: Timestamp) -> Result<(), Error> {
    let sql = "update prompts set last_used_at = $2 where name = $1 and coalesce(last_used_at, 0) < $2";
    query(sql).bind(name.as_str()).bind(used.0).execute(tx).await.map(drop)
}

/// Whether a prompt answers calls by its name; `None` where nothing has the name.
pub(super) async fn state(tx: &mut Tx, name: &PromptName) -> Result<Option<State>, Error> {
    let sql = "select archived_at, renamed_to from prompts where name = $1";
    let row = query(sql).bind(name.as_str()).fetch_optional(tx).await?;
    let read = |row: Row| -> Result<State, Error> {
        Ok(State { archived: row.get::<Option<i64>>("archived_at")?.is_some(), renamed_to: renamed_to(&row)? })
    };
    row.map(read).transpose()
}

/// What a name leads to, which a prompt may have had.
pub(super) async fn now_called(tx: &mut Tx, mut name: PromptName) -> Result<PromptName, Error> {
    for _ in 0..MOST_NAMES {
        match state(tx, &name).await? {
            Some(State { renamed_to: Some(next), .. }) => name = next,
            _ => break,
        }
    }
    Ok(name)
}

pub(super) async fn set_archived(tx: &mut Tx, name: &PromptName, at: Option<Timestamp>) -> Result<(), Error> {
    let sql = "update prompts set archived_at = $2 where name = $1";
    query(sql).bind(name.as_str()).bind(at.map(|at| at.0)).execute(tx).await.map(drop)
}

/// A label of the prompt that only an admin may move, where there is one.
pub(super) async fn protected_label(tx: &mut Tx, name: &PromptName) -> Result<Option<Label>, Error> {
    let sql = "select label from prompt_labels where name = $1 and protected order by label limit 1";
    let row = query(sql).bind(name.as_str()).fetch_optional(tx).await?;
    row.map(|row| row.get::<&str>("label")?.parse().map_err(|_| Error::unreadable("label"))).transpose()
}

/// Moves all that a prompt has to another name. What the old name leaves behind says what it became.
pub(super) async fn rename(tx: &mut Tx, names: &Renaming<'_>) -> Result<(), Error> {
    let Renaming { from, to } = names;
    let copy = "insert into prompts (name, created_at, last_used_at, imported_version, imported_hash, archived_at) \
                select $2, created_at, last_used_at, imported_version, imported_hash, archived_at from prompts \
                where name = $1 on conflict (name) do update set created_at = excluded.created_at, \
                last_used_at = excluded.last_used_at, imported_version = excluded.imported_version, \
                imported_hash = excluded.imported_hash, archived_at = excluded.archived_at, renamed_to = null";
    query(copy).bind(from.as_str()).bind(to.as_str()).execute(&mut *tx).await?;
    // What refers to a version goes before it, and comes back after it.
    let pointed = "select label, version, weight from prompt_label_targets where name = $1";
    let targets = query(pointed).bind(from.as_str()).fetch_all(&mut *tx).await?;
    query("delete from prompt_label_targets where name = $1").bind(from.as_str()).execute(&mut *tx).await?;
    for move_rows in [
        "update prompt_versions set name = $2 where name = $1",
        "update prompt_labels set name = $2 where name = $1",
        "update prompt_label_history set name = $2 where name = $1",
        "update prompt_changes set name = $2 where name = $1",
        "update prompts set renamed_to = $2, imported_version = null, imported_hash = null, archived_at = null \
         where name = $1",
    ] {
        query(move_rows).bind(from.as_str()).bind(to.as_str()).execute(&mut *tx).await?;
    }
    for target in &targets {
        let insert = "insert into prompt_label_targets (name, label, version, weight) values ($1, $2, $3, $4)";
        let insert = query(insert).bind(to.as_str()).bind(target.get::<&str>("label")?);
        insert.bind(target.get::<i64>("version")?).bind(target.get::<i64>("weight")?).execute(&mut *tx).await?;
    }
    Ok(())
}

pub(super) async fn add_change(tx: &mut Tx, name: &PromptName, change: &PromptChange) -> Result<(), Error> {
    let sql = "insert into prompt_changes (name, change, renamed_from, reason, key_id, author, at) \
               values ($1, $2, $3, $4, $5, $6, $7)";
    let insert = query(sql)
        .bind(name.as_str())
        .bind(&*change.change)
        .bind(change.renamed_from.as_deref())
        .bind(&*change.reason)
        .bind(&*change.key_id)
        .bind(&*change.author)
        .bind(change.at.0);
    insert.execute(tx).await.map(drop)
}

/// What became of a whole prompt, newest first, at most 1,000.
pub(super) async fn changes(db: &Db, name: &PromptName) -> Result<Vec<PromptChange>, Error> {
    let sql = "select change, renamed_from, reason, key_id, author, at from prompt_changes where name = $1 \
               order by seq desc limit 1000";
    let rows = query(sql).bind(name.as_str()).fetch_all(db).await?;
    let read = |row: &Row| {
        Ok(PromptChange {
            change: row.get("change")?,
            renamed_from: row.get("renamed_from")?,
            reason: row.get("reason")?,
            key_id: row.get("key_id")?,
            author: row.get("author")?,
            at: time_of(row, "at")?,
        })
    };
    rows.iter().map(read).collect()
}
