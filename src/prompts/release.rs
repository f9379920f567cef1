//! A version with settings of another's choice gets a label, within a change that is not of prompts alone.

use serde_json::{Map, Value};

use super::author::Author;
use super::change::{By, Expect, LabelChange, put_label, put_version};
use super::draft::Submission;
use super::error::Error;
use super::registry::{Registry, TOPIC};
use super::selector::Selector;
use super::store::{self, Move};
use crate::db::Tx;
use crate::types::{Label, PromptName, Timestamp};

/// The most characters of a reason that are written down.
const LONGEST_REASON: usize = 1_000;

/// What a label shall point at.
#[derive(Clone, Debug, PartialEq)]
pub struct Release<'a> {
    /// The prompt.
    pub prompt: &'a PromptName,
    /// The label.
    pub label: &'a Label,
    /// A version of the prompt.
    pub version: u32,
    /// Other settings than that version has, so that a version is made which has them; none where those do.
    pub settings: Option<Map<String, Value>>,
    /// Why.
    pub reason: &'a str,
}

impl Registry {
    /// The version that a label points at, as a transaction sees it.
    ///
    /// # Errors
    /// Where the database fails.
    pub async fn labelled_in(&self, tx: &mut Tx, name: &PromptName, label: &Label) -> Result<Option<u32>, Error> {
        let found = store::label(tx, name, label).await?;
        Ok(found.and_then(|(_, targets)| Some(targets.first()?.version)))
    }

    /// Points a label at a release, with the reason in the label's history, where the label is there already too. In a transaction
    /// that was begun for [`TOPIC`] and that its caller commits; then [`Registry::refresh`] makes it known here.
    ///
    /// # Errors
    /// Where the version is unknown, the prompt is archived or renamed, or the label is protected from `author`.
    pub async fn release_in(
        &self,
        tx: &mut Tx,
        release: &Release<'_>,
        (author, now): (&Author, Timestamp),
    ) -> Result<u32, Error> {
        let Release { prompt, label, reason, .. } = *release;
        let by = By { author, now };
        let version = match &release.settings {
            None => release.version,
            Some(settings) => {
                let mut draft = self.get(prompt)?.resolve(&Selector::Version(release.version))?.draft()?;
                draft.settings.clone_from(settings);
                let submission = Submission { message: reason.to_owned(), ..draft.into() };
                put_version(tx, prompt, &submission, Expect::Known, &by).await?.0
            }
        };
        if !put_label(tx, prompt, &LabelChange::to(label.clone(), version, reason), &by).await? {
            note(tx, (prompt, label), reason, &by).await?;
        }
        tx.bump(TOPIC).await?;
        Ok(version)
    }
}

/// Writes a reason into a label's history, where the label stays.
async fn note(tx: &mut Tx, (prompt, label): (&PromptName, &Label), reason: &str, by: &By<'_>) -> Result<(), Error> {
    let Some((protected, targets)) = store::label(tx, prompt, label).await? else { return Ok(()) };
    let stays = Move {
        label: label.to_string(),
        before: Some(targets.clone()),
        after: targets,
        protected,
        reason: reason.chars().take(LONGEST_REASON).collect(),
        key_id: by.author.key_id.clone(),
        author: by.author.name.clone(),
        at: by.now,
    };
    Ok(store::add_history(tx, prompt, label, &stays).await?)
}
