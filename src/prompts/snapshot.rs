//! All prompts in memory, so that no call waits for the database.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use serde_json::{Map, Value, json};

use super::error::Error;
use super::selector::Selector;
use super::store::{self, MOST_NAMES, Target, VersionRow};
use super::version::Version;
use crate::db::{self, Tx};
use crate::types::{Label, PromptName, Timestamp, did_you_mean};

/// One prompt: its versions, labels and last use.
#[derive(Clone, Debug)]
pub struct Prompt {
    /// The prompt's name.
    pub name: PromptName,
    /// When its first version was made.
    pub created_at: Timestamp,
    /// Since when it is archived.
    pub archived_at: Option<Timestamp>,
    /// Version 1 is the first.
    pub versions: Vec<Arc<Version>>,
    /// Where each label points.
    pub labels: BTreeMap<Label, LabelState>,
    pub(super) used: Arc<AtomicI64>,
    /// The last use that the database knows.
    pub(super) saved: Arc<AtomicI64>,
}

/// Where a label points.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelState {
    /// One version; more for a rollout, in a later release.
    pub targets: Vec<Target>,
    /// Whether only an admin key may move it.
    pub protected: bool,
    /// When it was moved last.
    pub updated_at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Snapshot {
    pub(super) revision: i64,
    last_seq: i64,
    pub(super) prompts: HashMap<PromptName, Arc<Prompt>>,
    /// Names that prompts had, and what each was renamed to.
    renamed: HashMap<PromptName, PromptName>,
}

impl Prompt {
    /// When a call used the prompt last.
    #[must_use]
    pub fn last_used_at(&self) -> Option<Timestamp> {
        let used = self.used.load(Ordering::Relaxed);
        (used > 0).then_some(Timestamp(used))
    }

    /// The newest version's number.
    #[must_use]
    pub fn newest(&self) -> u32 {
        u32::try_from(self.versions.len()).unwrap_or(u32::MAX)
    }

    /// The labels that point at `version`.
    #[must_use]
    pub fn labels_of(&self, version: u32) -> Vec<Label> {
        let at = |state: &LabelState| state.targets.iter().any(|target| target.version == version);
        self.labels.iter().filter(|(_, state)| at(state)).map(|(label, _)| label.clone()).collect()
    }

    /// The prompt as a list of the admin API has it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let labels = self.labels.iter().map(|(label, state)| {
            let version = state.targets.first().map(|target| target.version);
            let state = json!({"version": version, "protected": state.protected, "updated_at": state.updated_at});
            (label.to_string(), state)
        });
        let newest = self.versions.last().and_then(|version| version.draft().ok());
        json!({
            "name": self.name,
            "description": newest.map_or_else(String::new, |draft| draft.description),
            "newest": self.newest(),
            "labels": labels.collect::<Map<_, _>>(),
            "created_at": self.created_at,
            "archived_at": self.archived_at,
            "last_used_at": self.last_used_at(),
        })
    }

    /// The version that a selector names, also of a prompt that is archived.
    ///
    /// # Errors
    /// Where there is no such version or label.
    pub fn resolve(&self, selector: &Selector) -> Result<Arc<Version>, Error> {
        let version = match selector {
            Selector::Version(version) => *version,
            Selector::Latest => self.newest(),
            Selector::Default | Selector::Label(_) => {
                let label = selector.label().unwrap_or_default();
                let target = self.labels.get(label).and_then(|state| state.targets.first());
                target.ok_or_else(|| self.no_label(label))?.version
            }
        };
        let index = usize::try_from(version).ok().and_then(|version| version.checked_sub(1));
        index.and_then(|index| self.versions.get(index)).cloned().ok_or_else(|| Error::NoVersion {
            name: self.name.clone(),
            version,
            newest: self.newest(),
        })
    }

    fn no_label(&self, label: &str) -> Error {
        let known: Vec<&str> = self.labels.keys().map(Label::as_str).collect();
        let newest = self.newest();
        let known = match known.is_empty() {
            true => format!(
                "none; call `prompt/{name}@{newest}`, or set the label: fulcrum prompt label {name} {label} {newest}",
                name = self.name
            ),
            false => format!("{}{}", known.join(", "), did_you_mean(label, known.iter().copied())),
        };
        match label.parse() {
            Ok(label) => Error::NoLabel { name: self.name.clone(), label, known },
            Err(error) => Error::BadReference(format!("{error}")),
        }
    }
}

impl Snapshot {
    /// What a name that a prompt had leads to.
    pub(super) fn now_called(&self, name: &PromptName) -> Option<&PromptName> {
        let mut found = self.renamed.get(name)?;
        for _ in 0..MOST_NAMES {
            let Some(next) = self.renamed.get(found) else { break };
            found = next;
        }
        Some(found)
    }

    /// Reads what is new since `self`: versions never change, so only later ones, and all of a prompt that got its name since;
    /// labels, since they are small, all.
    pub(super) async fn next(&self, revision: i64, tx: &mut Tx) -> Result<Self, db::Error> {
        let mut prompts: HashMap<PromptName, Prompt> = HashMap::new();
        let mut renamed = HashMap::new();
        let mut rows = store::prompts(tx).await?;
        rows.retain_mut(|row| {
            let to = row.renamed_to.take().map(|to| renamed.insert(row.name.clone(), to));
            to.is_none()
        });
        let renewed: HashSet<PromptName> = renamed.values().cloned().collect();
        for row in rows {
            let name = row.name;
            let archived_at = row.archived_at;
            let prompt = match self.prompts.get(&name) {
                Some(known) => Prompt { labels: BTreeMap::new(), archived_at, ..known.as_ref().clone() },
                None => Prompt {
                    name: name.clone(),
                    created_at: row.created_at,
                    archived_at,
                    versions: match renewed.contains(&name) {
                        true => store::versions_until(tx, &name, self.last_seq)
                            .await?
                            .into_iter()
                            .map(|row| Arc::new(version(name.clone(), row)))
                            .collect(),
                        false => Vec::new(),
                    },
                    labels: BTreeMap::new(),
                    used: Arc::new(AtomicI64::new(row.last_used_at.map_or(0, |used| used.0))),
                    saved: Arc::new(AtomicI64::new(row.last_used_at.map_or(0, |used| used.0))),
                },
            };
            prompts.insert(name, prompt);
        }
        let mut last_seq = self.last_seq;
        for row in store::versions_after(tx, self.last_seq).await? {
            last_seq = last_seq.max(row.seq);
            if let Some(prompt) = prompts.get_mut(row.name.as_str()) {
                prompt.versions.push(Arc::new(version(prompt.name.clone(), row)));
            }
        }
        for row in store::labels(tx).await? {
            let (Some(prompt), Ok(label)) = (prompts.get_mut(row.name.as_str()), row.label.parse()) else { continue };
            let (protected, updated_at) = (row.protected, row.updated_at);
            let state = prompt.labels.entry(label);
            let state = state.or_insert_with(|| LabelState { targets: Vec::new(), protected, updated_at });
            state.targets.push(row.target);
        }
        let prompts = prompts.into_iter().map(|(name, prompt)| (name, Arc::new(prompt))).collect();
        Ok(Self { revision, last_seq, prompts, renamed })
    }
}

fn version(name: PromptName, row: VersionRow) -> Version {
    Version {
        name,
        version: row.version,
        hash: row.hash.into(),
        created_at: row.created_at,
        author: row.author.into(),
        key_id: row.key_id.into(),
        message: row.message.into(),
        content: row.content.into(),
        ready: OnceLock::new(),
    }
}
