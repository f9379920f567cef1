//! The keys' and projects' rows.

use std::num::NonZeroU32;
use std::sync::Arc;

use serde::Serialize;

use super::last_use::LastUse;
use super::token::Hash;
use super::{Role, VirtualKey};
use crate::db::{self, Db, Error, Tx, query};
use crate::types::Timestamp;

/// A key and the hashes of its secrets.
pub(super) struct Row {
    pub(super) key: VirtualKey,
    pub(super) hash: Hash,
    /// The secret before the last rotation, and until when it opens.
    pub(super) old: Option<(Hash, Timestamp)>,
    /// The `FULCRUM_ADMIN_KEY` that made this key.
    pub(super) env: Option<Hash>,
}

/// A project: a name that keys, usage and cached answers belong to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Project {
    /// The key's name.
    pub name: Arc<str>,
    /// When its first key, or it itself, was made.
    pub created_at: Timestamp,
}

/// All keys, and the revision they have.
pub(super) async fn load(db: &Db) -> Result<(i64, Vec<Row>), Error> {
    // The revision first: a change in between is then read twice, never missed.
    let revision = db.revision("keys").await?;
    let select = "select id, name, project, role, models, requests_per_minute, tags, hash, old_hash, old_until, \
                  env_hash, created_at, expires_at, revoked_at, last_used_at from keys";
    let rows = query(select).fetch_all(db).await?;
    let rows: Result<Vec<_>, Error> = rows.iter().map(read).collect();
    Ok((revision, rows?))
}

/// All projects by name.
pub(super) async fn projects(db: &Db) -> Result<Vec<Project>, Error> {
    let rows = query("select name, created_at from projects order by name").fetch_all(db).await?;
    let read = |row: &db::Row| -> Result<Project, Error> {
        Ok(Project { name: row.get::<String>("name")?.into(), created_at: Timestamp(row.get("created_at")?) })
    };
    rows.iter().map(read).collect()
}

/// A change of keys: one transaction, undone unless committed.
pub(super) struct Change(Tx);

impl Change {
    pub(super) async fn begin(db: &Db) -> Result<Self, Error> {
        Ok(Self(db.begin("keys").await?))
    }

    /// Makes the change visible, to other processes as well.
    pub(super) async fn commit(mut self) -> Result<(), Error> {
        self.0.bump("keys").await?;
        self.0.commit().await
    }

    pub(super) async fn find(&mut self, id: &str) -> Result<Option<Row>, Error> {
        let select = "select id, name, project, role, models, requests_per_minute, tags, hash, old_hash, old_until, \
                      env_hash, created_at, expires_at, revoked_at, last_used_at from keys where id = $1";
        let row = query(select).bind(id).fetch_optional(&mut self.0).await?;
        row.as_ref().map(read).transpose()
    }

    pub(super) async fn add_project(&mut self, name: &str, now: Timestamp) -> Result<(), Error> {
        let insert = "insert into projects (name, created_at) values ($1, $2) on conflict (name) do nothing";
        query(insert).bind(name).bind(now.0).execute(&mut self.0).await?;
        Ok(())
    }

    pub(super) async fn save(&mut self, row: &Row) -> Result<(), Error> {
        let upsert = "insert into keys (id, name, project, role, models, requests_per_minute, tags, hash, old_hash, \
                      old_until, env_hash, created_at, expires_at, revoked_at) \
                      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                      on conflict (id) do update set name = excluded.name, role = excluded.role, \
                      models = excluded.models, requests_per_minute = excluded.requests_per_minute, \
                      tags = excluded.tags, hash = excluded.hash, old_hash = excluded.old_hash, \
                      old_until = excluded.old_until, expires_at = excluded.expires_at, revoked_at = excluded.revoked_at";
        let Row { key, hash, old, env } = row;
        query(upsert)
            .bind(&*key.id)
            .bind(&*key.name)
            .bind(&*key.project)
            .bind(key.role.text())
            .bind(key.models.as_ref().map(serde_json::to_string).transpose()?)
            .bind(key.requests_per_minute.map(|limit| i64::from(limit.get())))
            .bind(serde_json::to_string(&key.tags)?)
            .bind(hash.hex())
            .bind(old.as_ref().map(|(hash, _)| hash.hex()))
            .bind(old.as_ref().map(|(_, until)| until.0))
            .bind(env.as_ref().map(Hash::hex))
            .bind(key.created_at.0)
            .bind(key.expires_at.map(|at| at.0))
            .bind(key.revoked_at.map(|at| at.0))
            .execute(&mut self.0)
            .await?;
        Ok(())
    }

    /// Writes down when a key was last used.
    pub(super) async fn set_used(&mut self, id: &str, at: Timestamp) -> Result<(), Error> {
        let update = "update keys set last_used_at = $2 where id = $1 and coalesce(last_used_at, 0) < $2";
        query(update).bind(id).bind(at.0).execute(&mut self.0).await.map(drop)
    }

    /// Makes visible what no other process need read again.
    pub(super) async fn commit_quietly(self) -> Result<(), Error> {
        self.0.commit().await
    }

    /// How many admin keys work and will not lapse by themselves.
    pub(super) async fn lasting_admins(&mut self) -> Result<i64, Error> {
        let count = "select count(*) from keys where role = 'admin' and revoked_at is null and expires_at is null";
        query(count).fetch_one(&mut self.0).await?.get(0)
    }

    /// Whether a key was ever made of this text.
    pub(super) async fn was_seen(&mut self, hash: &Hash) -> Result<bool, Error> {
        let select = "select count(*) from keys where hash = $1 or env_hash = $1";
        let count: i64 = query(select).bind(hash.hex()).fetch_one(&mut self.0).await?.get(0)?;
        Ok(count > 0)
    }

    /// Revokes the keys that still open with an earlier `FULCRUM_ADMIN_KEY`.
    pub(super) async fn revoke_chosen(&mut self, now: Timestamp) -> Result<(), Error> {
        let update = "update keys set revoked_at = $1 where env_hash = hash and revoked_at is null";
        query(update).bind(now.0).execute(&mut self.0).await?;
        Ok(())
    }
}

fn read(row: &db::Row) -> Result<Row, Error> {
    let role: String = row.get("role")?;
    let models: Option<String> = row.get("models")?;
    let tags: String = row.get("tags")?;
    let hash: String = row.get("hash")?;
    let until: Option<i64> = row.get("old_until")?;
    let key = VirtualKey {
        id: row.get::<String>("id")?.into(),
        name: row.get::<String>("name")?.into(),
        project: row.get::<String>("project")?.into(),
        role: Role::from_text(&role).ok_or_else(|| Error::unreadable("role"))?,
        models: models.map(|json| serde_json::from_str(&json)).transpose().map_err(|_| Error::unreadable("models"))?,
        requests_per_minute: row.get::<Option<i64>>("requests_per_minute")?.and_then(limit),
        created_at: Timestamp(row.get("created_at")?),
        expires_at: row.get::<Option<i64>>("expires_at")?.map(Timestamp),
        revoked_at: row.get::<Option<i64>>("revoked_at")?.map(Timestamp),
        tags: serde_json::from_str(&tags).map_err(|_| Error::unreadable("tags"))?,
        shares: false,
        used: Arc::new(LastUse::stored(row.get::<Option<i64>>("last_used_at")?.map(Timestamp))),
        limiter: Arc::default(),
        look_ups: Arc::default(),
    };
    let hash = Hash::from_hex(&hash).ok_or_else(|| Error::unreadable("hash"))?;
    let old = optional_hash(row, "old_hash")?.zip(until.map(Timestamp));
    Ok(Row { key, hash, old, env: optional_hash(row, "env_hash")? })
}

fn optional_hash(row: &db::Row, column: &str) -> Result<Option<Hash>, Error> {
    let hex: Option<String> = row.get(column)?;
    hex.map(|hex| Hash::from_hex(&hex).ok_or_else(|| Error::unreadable(column))).transpose()
}

fn limit(stored: i64) -> Option<NonZeroU32> {
    u32::try_from(stored).ok().and_then(NonZeroU32::new)
}
