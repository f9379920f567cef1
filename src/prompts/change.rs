//! Changes of the registry, each in one transaction.

use std::sync::Arc;

use serde_json::Value;

use super::author::Author;
use super::diff::Side;
use super::draft::Submission;
use super::error::Error;
use super::registry::{Registry, TOPIC};
use super::selector::Selector;
use super::standing::check_changeable;
use super::store::{self, Move, NewVersion, Target};
use super::variables::unknown;
use super::version::Version;
use crate::db::Tx;
use crate::types::{Diagnostic, Label, PromptName, Timestamp};

const ROLLOUT: Error = Error::NotYet("a label on several versions (a rollout) is");

/// The most characters of a diff in an error.
const LONGEST_DIFF: usize = 20_000;

/// What came of saving a version.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The version; an old one where the newest has this very content.
    pub version: Arc<Version>,
    /// Whether it is new.
    pub created: bool,
}

/// A label's move, asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelChange {
    /// The label.
    pub label: Label,
    /// Where it shall point: one version, until rollouts are supported; none takes the label away.
    pub targets: Vec<Target>,
    /// Why.
    pub reason: String,
    /// Whether it shall be protected; none leaves it as it is.
    pub protected: Option<bool>,
}

impl LabelChange {
    /// Points `label` at one version.
    #[must_use]
    pub fn to(label: Label, version: u32, reason: &str) -> Self {
        let targets = vec![Target { version, weight: 100 }];
        Self { label, targets, reason: reason.to_owned(), protected: None }
    }

    /// Takes `label` away.
    #[must_use]
    pub fn none(label: Label, reason: &str) -> Self {
        Self { label, targets: Vec::new(), reason: reason.to_owned(), protected: None }
    }

    /// Reads the body of `PUT /prompts/{name}/labels/{label}`: `{"version", "reason", "protected"}`.
    ///
    /// # Errors
    /// Where a field is unknown, missing or of the wrong type, or a rollout is asked for.
    pub fn from_json(label: Label, value: &Value) -> Result<Self, Error> {
        let wrong = |key: &str, message: &str| Error::Invalid(vec![Diagnostic::new(key, message)]);
        let Value::Object(fields) = value else { return Err(wrong("", "must be an object with `version`")) };
        let known = ["version", "rollout", "reason", "protected"];
        if let Some(key) = fields.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(wrong(key, &unknown(key, &known)));
        }
        if fields.contains_key("rollout") {
            return Err(ROLLOUT);
        }
        let version = fields.get("version").and_then(Value::as_u64).and_then(|version| u32::try_from(version).ok());
        let version = version.filter(|version| *version > 0).ok_or_else(|| wrong("version", "is a number from 1"))?;
        let reason = match fields.get("reason") {
            None | Some(Value::Null) => "",
            Some(Value::String(reason)) => reason,
            Some(_) => return Err(wrong("reason", "must be a string")),
        };
        let protected = match fields.get("protected") {
            None | Some(Value::Null) => None,
            Some(Value::Bool(protected)) => Some(*protected),
            Some(_) => return Err(wrong("protected", "must be true or false")),
        };
        Ok(Self { protected, ..Self::to(label, version, reason) })
    }
}

/// Whether a prompt may or must stand already.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Expect {
    New,
    Known,
    Either,
}

impl Registry {
    /// Makes a prompt with its version 1.
    ///
    /// # Errors
    /// [`Error::Exists`] where it stands already.
    pub async fn create(
        &self,
        name: &PromptName,
        submission: &Submission,
        author: &Author,
        now: Timestamp,
    ) -> Result<Saved, Error> {
        self.save(name, submission, Expect::New, &By { author, now }).await
    }

    /// Adds a version to a prompt; nothing new where the newest has this very content.
    ///
    /// # Errors
    /// [`Error::NoPrompt`] where there is none.
    pub async fn add_version(
        &self,
        name: &PromptName,
        submission: &Submission,
        author: &Author,
        now: Timestamp,
    ) -> Result<Saved, Error> {
        self.save(name, submission, Expect::Known, &By { author, now }).await
    }

    async fn save(
        &self,
        name: &PromptName,
        submission: &Submission,
        expect: Expect,
        by: &By<'_>,
    ) -> Result<Saved, Error> {
        let mut changes = self.0.db.begin(TOPIC).await?;
        let put = put_version(&mut changes, name, submission, expect, by).await;
        let (version, created) = match put {
            Err(Error::Outdated { parent, newest, .. }) => {
                drop(changes);
                return Err(self.outdated(name, parent, newest).await?);
            }
            put => put?,
        };
        let mut changed = created;
        for label in &submission.labels {
            let reason = if submission.message.is_empty() { "with the version" } else { &submission.message };
            let change = LabelChange::to(label.clone(), version, reason);
            changed |= put_label(&mut changes, name, &change, by).await?;
        }
        if changed {
            changes.bump(TOPIC).await?;
        }
        changes.commit().await?;
        self.refresh().await?;
        Ok(Saved { version: self.resolve(name, &Selector::Version(version))?, created })
    }

    /// Why a change that began from `parent` is refused, with what it would undo.
    async fn outdated(&self, name: &PromptName, parent: u32, newest: u32) -> Result<Error, Error> {
        self.refresh().await?;
        let diff = self.diff(name, Side::of(parent), Side::of(newest))?.unified;
        let diff = diff.chars().take(LONGEST_DIFF).collect();
        Ok(Error::Outdated { name: name.clone(), parent, newest, diff })
    }

    /// Moves a label, makes it, or protects it; `false` where it is so already.
    ///
    /// # Errors
    /// Where the version is unknown, the label is protected from `author`, or a rollout is asked for.
    pub async fn set_label(
        &self,
        name: &PromptName,
        change: &LabelChange,
        author: &Author,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.get(name)?;
        let mut changes = self.0.db.begin(TOPIC).await?;
        let moved = put_label(&mut changes, name, change, &By { author, now }).await?;
        if moved {
            changes.bump(TOPIC).await?;
        }
        changes.commit().await?;
        self.refresh().await?;
        Ok(moved)
    }
}

/// Who and when.
pub(super) struct By<'a> {
    pub(super) author: &'a Author,
    pub(super) now: Timestamp,
}

/// Stores a version unless the newest has its content. Gives its number, and whether it is new.
pub(super) async fn put_version(
    tx: &mut Tx,
    name: &PromptName,
    submission: &Submission,
    expect: Expect,
    by: &By<'_>,
) -> Result<(u32, bool), Error> {
    check_changeable(tx, name).await?;
    let newest = store::newest(tx, name).await?;
    let version = match newest {
        Some(_) if expect == Expect::New => return Err(Error::Exists(name.clone())),
        None if expect == Expect::Known => return Err(Error::NoPrompt(name.clone(), String::new())),
        // Nothing is lost where the newest says the same already.
        Some((version, hash)) if hash == submission.draft.hash() => return Ok((version, false)),
        Some((newest, _)) if submission.parent.is_some_and(|parent| parent != newest) => {
            let parent = submission.parent.unwrap_or_default();
            return Err(Error::Outdated { name: name.clone(), parent, newest, diff: String::new() });
        }
        None if submission.parent.is_some_and(|parent| parent > 0) => {
            return Err(Error::NoPrompt(name.clone(), String::new()));
        }
        Some((version, _)) => version + 1,
        None => {
            store::add_prompt(tx, name, by.now).await?;
            1
        }
    };
    let (draft, message) = (&submission.draft, submission.message.as_str());
    let new = NewVersion { name, version, draft, message, author: by.author, now: by.now };
    store::add_version(tx, &new).await?;
    Ok((version, true))
}

/// Points a label where `change` says and writes its history; `false` where it is so already.
pub(super) async fn put_label(
    tx: &mut Tx,
    name: &PromptName,
    change: &LabelChange,
    by: &By<'_>,
) -> Result<bool, Error> {
    if change.targets.len() > 1 {
        return Err(ROLLOUT);
    }
    check_changeable(tx, name).await?;
    for target in &change.targets {
        if store::hash_of(tx, name, target.version).await?.is_none() {
            return match store::newest(tx, name).await? {
                None => Err(Error::NoPrompt(name.clone(), String::new())),
                Some((newest, _)) => Err(Error::NoVersion { name: name.clone(), version: target.version, newest }),
            };
        }
    }
    let now = store::label(tx, name, &change.label).await?;
    let was_protected = now.as_ref().is_some_and(|(protected, _)| *protected);
    let protected = change.protected.unwrap_or(was_protected);
    let before = now.map(|(_, targets)| targets);
    let is_there = before.as_ref().unwrap_or(&Vec::new()) == &change.targets;
    if is_there && protected == was_protected {
        return Ok(false);
    }
    if (was_protected || protected) && !by.author.admin {
        return Err(Error::Protected { name: name.clone(), label: change.label.clone() });
    }
    let change_made = Move {
        label: change.label.to_string(),
        before,
        after: change.targets.clone(),
        protected,
        reason: change.reason.chars().take(1_000).collect(),
        key_id: by.author.key_id.clone(),
        author: by.author.name.clone(),
        at: by.now,
    };
    match change.targets.is_empty() {
        true => store::remove_label(tx, name, &change.label).await?,
        false => store::put_label(tx, name, &change.label, &change_made).await?,
    }
    store::add_history(tx, name, &change.label, &change_made).await?;
    Ok(true)
}
