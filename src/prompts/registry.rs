//! The registry: all prompts in memory, refreshed from the database.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::diff::{self, Diff, Side};
use super::error::Error;
use super::selector::Selector;
use super::snapshot::{Prompt, Snapshot};
use super::store::{self, Move};
use super::version::Version;
use crate::chat::PromptMessage;
use crate::db::Db;
use crate::types::{Label, PromptName, Timestamp, did_you_mean};

/// The revision counter that a change of prompts raises.
pub const TOPIC: &str = "prompts";

/// All prompts. Cheap to clone; calls read memory only.
#[derive(Clone, Debug)]
pub struct Registry(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) db: Db,
    snapshot: ArcSwap<Snapshot>,
    /// One reader at a time, so that an older snapshot never replaces a newer one.
    refreshing: Mutex<()>,
}

/// A prompt rendered for a look at it.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// What was rendered.
    pub version: Arc<Version>,
    /// The messages.
    pub messages: Vec<PromptMessage>,
    /// The characters of all texts, for an estimate of tokens.
    pub chars: u64,
}

impl Registry {
    /// Reads all prompts.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn open(db: Db) -> Result<Self, Error> {
        let inner = Inner { db, snapshot: ArcSwap::default(), refreshing: Mutex::new(()) };
        let registry = Self(Arc::new(inner));
        registry.read_again(true).await?;
        Ok(registry)
    }

    /// Reads what this or another process changed since the last time, if anything.
    ///
    /// # Errors
    /// Where the database fails; what was known stays.
    pub async fn refresh(&self) -> Result<(), Error> {
        self.read_again(false).await
    }

    async fn read_again(&self, always: bool) -> Result<(), Error> {
        let _one = self.0.refreshing.lock().await;
        // Read before the rows: a change in between is then seen as one more revision.
        let revision = self.0.db.revision(TOPIC).await?;
        let known = self.0.snapshot.load_full();
        if always || known.revision != revision {
            let mut reading = self.0.db.snapshot().await?;
            let next = known.next(revision, &mut reading).await?;
            reading.commit().await?;
            self.0.snapshot.store(Arc::new(next));
        }
        Ok(())
    }

    /// The version that a call asks for. Memory only.
    ///
    /// # Errors
    /// Where the prompt, version or label is unknown, or the prompt is archived.
    pub fn resolve(&self, name: &PromptName, selector: &Selector) -> Result<Arc<Version>, Error> {
        let snapshot = self.0.snapshot.load();
        match snapshot.prompts.get(name) {
            Some(prompt) if prompt.archived_at.is_some() => Err(Error::Archived(name.clone())),
            Some(prompt) => prompt.resolve(selector),
            None => Err(unknown(&snapshot, name, String::new())),
        }
    }

    /// Notes that a call used the prompt. Memory only; [`Registry::save_use`] writes it down.
    pub fn touch(&self, name: &PromptName, now: Timestamp) {
        if let Some(prompt) = self.0.snapshot.load().prompts.get(name) {
            prompt.used.fetch_max(now.0, Ordering::Relaxed);
        }
    }

    /// Writes down when each prompt was used last; for the clock and for shutdown.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn save_use(&self) -> Result<(), Error> {
        let used: Vec<(Arc<Prompt>, Timestamp)> = {
            let snapshot = self.0.snapshot.load();
            let is_newer = |prompt: &Arc<Prompt>, used: Timestamp| used.0 > prompt.saved.load(Ordering::Relaxed);
            let used = |prompt: &Arc<Prompt>| Some((prompt.clone(), prompt.last_used_at()?));
            snapshot.prompts.values().filter_map(used).filter(|(prompt, used)| is_newer(prompt, *used)).collect()
        };
        if used.is_empty() {
            return Ok(());
        }
        let mut changes = self.0.db.begin(TOPIC).await?;
        for (prompt, used) in &used {
            store::set_used(&mut changes, &prompt.name, *used).await?;
        }
        changes.commit().await?;
        for (prompt, used) in &used {
            prompt.saved.fetch_max(used.0, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Every prompt, archived ones too, by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Prompt>> {
        let mut prompts: Vec<_> = self.0.snapshot.load().prompts.values().cloned().collect();
        prompts.sort_by(|a, b| a.name.cmp(&b.name));
        prompts
    }

    /// The names of all prompts that answer calls, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<PromptName> {
        let answers = |prompt: &&Arc<Prompt>| prompt.archived_at.is_none();
        self.list().iter().filter(answers).map(|prompt| prompt.name.clone()).collect()
    }

    /// The name that a prompt has by now which had this one.
    #[must_use]
    pub fn now_called(&self, name: &PromptName) -> Option<PromptName> {
        self.0.snapshot.load().now_called(name).cloned()
    }

    /// One prompt with its versions and labels.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn get(&self, name: &PromptName) -> Result<Arc<Prompt>, Error> {
        let snapshot = self.0.snapshot.load();
        let near = || did_you_mean(name.as_str(), snapshot.prompts.keys().map(PromptName::as_str));
        snapshot.prompts.get(name).cloned().ok_or_else(|| unknown(&snapshot, name, near()))
    }

    /// A prompt's versions, newest first.
    ///
    /// # Errors
    /// Where there is no such prompt.
    pub fn versions(&self, name: &PromptName) -> Result<Vec<Arc<Version>>, Error> {
        Ok(self.get(name)?.versions.iter().rev().cloned().collect())
    }

    /// Renders a version, to look at.
    ///
    /// # Errors
    /// As [`Registry::resolve`] and [`Version::render`].
    pub fn render(
        &self,
        name: &PromptName,
        selector: &Selector,
        variables: &Map<String, Value>,
    ) -> Result<Rendered, Error> {
        let version = self.get(name)?.resolve(selector)?;
        let messages = version.render(variables)?;
        let chars = messages.iter().map(|message| match message {
            PromptMessage::Text { content, .. } => content.chars().count() as u64,
            PromptMessage::Raw(value) => value.to_string().chars().count() as u64,
        });
        let chars = chars.sum();
        Ok(Rendered { version, messages, chars })
    }

    /// What changed from one version to another, or from or to nothing.
    ///
    /// # Errors
    /// Where one of them is unknown.
    pub fn diff(&self, name: &PromptName, from: Side, to: Side) -> Result<Diff, Error> {
        let prompt = self.get(name)?;
        let version = |side: Side| side.0.map(|selector| prompt.resolve(&selector)).transpose();
        diff::diff(name, version(from)?.as_deref(), version(to)?.as_deref())
    }

    /// The moves of a prompt's labels, or of one, newest first: where, who, when and why.
    ///
    /// # Errors
    /// Where the prompt never had the label, or the database fails.
    pub async fn history(&self, name: &PromptName, label: Option<&Label>) -> Result<Vec<Move>, Error> {
        let prompt = self.get(name)?;
        let moves = store::history(&self.0.db, name, label).await?;
        if let Some(label) = label.filter(|_| moves.is_empty()) {
            prompt.resolve(&Selector::Label(label.clone()))?;
        }
        Ok(moves)
    }
}

/// No prompt has this name by now.
fn unknown(snapshot: &Snapshot, name: &PromptName, near: String) -> Error {
    match snapshot.now_called(name) {
        Some(to) => Error::Renamed { name: name.clone(), to: to.clone() },
        None => Error::NoPrompt(name.clone(), near),
    }
}
