//! Takes a folder's prompts into the registry.

use std::collections::HashMap;
use std::path::Path;

use super::author::Author;
use super::change::{By, Expect, LabelChange, put_label, put_version};
use super::draft::Submission;
use super::error::Error;
use super::folder::{self, PromptFile};
use super::registry::{Registry, TOPIC};
use super::store::{self, Imported};
use super::toml_text::parse_file;
use crate::db::Tx;
use crate::types::{Label, PromptName, Timestamp};

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// Versions that are new.
    pub created: Vec<(PromptName, u32)>,
    /// Files whose content was known.
    pub unchanged: usize,
    /// Labels that were moved.
    pub labelled: Vec<(PromptName, Label, u32)>,
}

/// A file to import: parsed where it is not the one that the last import read.
struct Incoming {
    file: PromptFile,
    hash: String,
    submission: Option<Submission>,
}

impl Registry {
    /// Takes every file of a folder, or none where one is wrong. New content becomes a new version; `label` is moved
    /// to it where it is unset or still on the last imported version, so that an import never undoes a rollback.
    ///
    /// # Errors
    /// Every mistake of every file, or that the folder or database fails.
    pub async fn import_dir(&self, path: &Path, label: Option<&Label>, now: Timestamp) -> Result<Imports, Error> {
        let known = store::imported(&self.0.db).await?;
        let incoming = read(path, &known)?;
        let author = Author { key_id: "import".to_owned(), name: "import".to_owned(), admin: true };
        let by = By { author: &author, now };
        let mut done = Imports::default();
        let mut changes = self.0.db.begin(TOPIC).await?;
        // Read again inside the transaction: another process may have imported in between.
        let known = store::imported(&mut changes).await?;
        for incoming in &incoming {
            let last = known.get(incoming.file.name.as_str()).map(|last| last.version);
            let version = take(&mut changes, incoming, last, &by).await?;
            done.count(incoming, version);
            if let (Some(label), (Some(version), _)) = (label, version) {
                let moved = follow(&mut changes, incoming, &Following { label, version, last }, &by).await?;
                done.labelled.extend(moved.then(|| (incoming.file.name.clone(), label.clone(), version)));
            }
        }
        if !done.created.is_empty() || !done.labelled.is_empty() {
            changes.bump(TOPIC).await?;
        }
        changes.commit().await?;
        self.refresh().await?;
        Ok(done)
    }
}

fn read(path: &Path, known: &HashMap<String, Imported>) -> Result<Vec<Incoming>, Error> {
    let (files, mut problems) = folder::read_dir(path)?;
    let mut incoming = Vec::with_capacity(files.len());
    for file in files {
        let hash = blake3::hash(file.text.as_bytes()).to_hex().to_string();
        if known.get(file.name.as_str()).is_some_and(|known| known.file_hash == hash) {
            incoming.push(Incoming { file, hash, submission: None });
            continue;
        }
        match parse_file(&file.file, &file.text) {
            Err(found) => problems.extend(found),
            Ok(draft) => {
                let message = format!("imported from {}", file.file);
                let submission = Some(Submission { message, ..draft.into() });
                incoming.push(Incoming { file, hash, submission });
            }
        }
    }
    if problems.is_empty() { Ok(incoming) } else { Err(Error::Files(problems)) }
}

impl Imports {
    fn count(&mut self, incoming: &Incoming, version: (Option<u32>, bool)) {
        match version {
            (Some(version), true) => self.created.push((incoming.file.name.clone(), version)),
            _ => self.unchanged += 1,
        }
    }
}

/// Stores a file's content where it is new. Gives the version that holds it, and whether it was made now.
async fn take(tx: &mut Tx, incoming: &Incoming, last: Option<u32>, by: &By<'_>) -> Result<(Option<u32>, bool), Error> {
    let Some(submission) = &incoming.submission else { return Ok((last, false)) };
    let name = &incoming.file.name;
    // The file may differ in its form only, while a later version was made through the API.
    let same = match last {
        Some(last) => store::hash_of(tx, name, last).await? == Some(submission.draft.hash()),
        None => false,
    };
    let (version, created) = match last {
        Some(last) if same => (last, false),
        _ => put_version(tx, name, submission, Expect::Either, by).await?,
    };
    store::set_imported(tx, name, &Imported { version, file_hash: incoming.hash.clone() }).await?;
    Ok((Some(version), created))
}

struct Following<'a> {
    label: &'a Label,
    version: u32,
    /// The version of the import before.
    last: Option<u32>,
}

/// Moves the label to the imported version, unless a person has moved the label since the last import.
async fn follow(tx: &mut Tx, incoming: &Incoming, following: &Following<'_>, by: &By<'_>) -> Result<bool, Error> {
    let Following { label, version, last } = *following;
    let name = &incoming.file.name;
    let target = store::label(tx, name, label).await?.map(|(_, targets)| targets);
    let ours = match target.as_deref() {
        None => true,
        Some([target]) => Some(target.version) == last,
        Some(_) => false,
    };
    let change = LabelChange::to(label.clone(), version, &format!("imported from {}", incoming.file.file));
    Ok(ours && put_label(tx, name, &change, by).await?)
}
