//! What becomes of a whole prompt: archived, taken out again, renamed. Versions, labels and history stay.

use super::author::Author;
use super::change::By;
use super::error::Error;
use super::registry::{Registry, TOPIC};
use super::store::{self, PromptChange, Renaming};
use crate::db::Tx;
use crate::types::{PromptName, Timestamp};

/// The most characters of a reason that are written down.
const LONGEST_REASON: usize = 1_000;

impl Registry {
    /// Archives a prompt, or takes it out of the archive; `false` where it is so already. Calls of an archived prompt are refused.
    ///
    /// # Errors
    /// Where there is no such prompt, or one of its labels is protected from `author`.
    pub async fn archive(
        &self,
        name: &PromptName,
        archived: bool,
        reason: &str,
        (author, now): (&Author, Timestamp),
    ) -> Result<bool, Error> {
        self.get(name)?;
        let mut changes = self.0.db.begin(TOPIC).await?;
        let state =
            store::state(&mut changes, name).await?.ok_or_else(|| Error::NoPrompt(name.clone(), String::new()))?;
        if let Some(to) = state.renamed_to {
            return Err(Error::Moved { name: name.clone(), to });
        }
        if state.archived == archived {
            return Ok(false);
        }
        check_protected(&mut changes, name, author).await?;
        store::set_archived(&mut changes, name, archived.then_some(now)).await?;
        let change = if archived { "archived" } else { "unarchived" };
        let done = PromptChange::new((change, None), reason, &By { author, now });
        store::add_change(&mut changes, name, &done).await?;
        changes.bump(TOPIC).await?;
        changes.commit().await?;
        self.refresh().await?;
        Ok(true)
    }

    /// Gives a prompt another name; `false` where it has that already. The old name stays taken, and its calls are refused with the
    /// new one.
    ///
    /// # Errors
    /// Where there is no such prompt, the new name is taken, or one of its labels is protected from `author`.
    pub async fn rename(
        &self,
        name: &PromptName,
        to: &PromptName,
        reason: &str,
        (author, now): (&Author, Timestamp),
    ) -> Result<bool, Error> {
        self.get(name)?;
        if name == to {
            return Ok(false);
        }
        let mut changes = self.0.db.begin(TOPIC).await?;
        let state =
            store::state(&mut changes, name).await?.ok_or_else(|| Error::NoPrompt(name.clone(), String::new()))?;
        if let Some(to) = state.renamed_to {
            return Err(Error::Moved { name: name.clone(), to });
        }
        if let Some(taken) = store::state(&mut changes, to).await? {
            match taken.renamed_to {
                None => return Err(Error::Taken(to.clone())),
                // Back to a name that the prompt itself had.
                Some(now_called) if store::now_called(&mut changes, now_called.clone()).await? == *name => {}
                Some(other) => return Err(Error::Moved { name: to.clone(), to: other }),
            }
        }
        check_protected(&mut changes, name, author).await?;
        store::rename(&mut changes, &Renaming { from: name, to }).await?;
        let done = PromptChange::new(("renamed", Some(name)), reason, &By { author, now });
        store::add_change(&mut changes, to, &done).await?;
        changes.bump(TOPIC).await?;
        changes.commit().await?;
        self.refresh().await?;
        Ok(true)
    }

    /// What became of the whole prompt, newest first.
    ///
    /// # Errors
    /// Where there is no such prompt, or the database fails.
    pub async fn changes(&self, name: &PromptName) -> Result<Vec<PromptChange>, Error> {
        self.get(name)?;
        Ok(store::changes(&self.0.db, name).await?)
    }
}

impl PromptChange {
    fn new((change, from): (&str, Option<&PromptName>), reason: &str, by: &By<'_>) -> Self {
        Self {
            change: change.to_owned(),
            renamed_from: from.map(ToString::to_string),
            reason: reason.chars().take(LONGEST_REASON).collect(),
            key_id: by.author.key_id.clone(),
            author: by.author.name.clone(),
            at: by.now,
        }
    }
}

/// A prompt with a protected label is taken from its callers by an admin only.
async fn check_protected(tx: &mut Tx, name: &PromptName, author: &Author) -> Result<(), Error> {
    if author.admin {
        return Ok(());
    }
    match store::protected_label(tx, name).await? {
        Some(label) => Err(Error::Protected { name: name.clone(), label }),
        None => Ok(()),
    }
}
