//! Takes a folder's prompts into the registry.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;

use super::author::Author;
use super::change::{By, Expect, LabelChange, put_label, put_version};
use super::draft::{Draft, Submission};
use super::error::Error;
use super::folder::{self, PromptFile};
use super::registry::{Registry, TOPIC};
use super::store::{self, Imported, State};
use super::toml_text::parse_file_with;
use crate::db::Tx;
use crate::pool::{self, Pool};
use crate::types::{Diagnostic, Label, PromptName, Timestamp};

/// Whose versions an import makes.
const IMPORTER: &str = "import";

/// How the reason begins of what an import does: of versions that it makes, and of labels that it moves.
pub const IMPORTED: &str = "imported from ";

/// How long the files' reading may wait for a thread, and take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an import did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Imports {
    /// Versions that are new.
    pub created: Vec<(PromptName, u32)>,
    /// Files whose content was known.
    pub unchanged: usize,
    /// Labels that were moved.
    pub labelled: Vec<LabelMove>,
    /// Labels that did not follow a file that changed.
    pub stayed: Vec<LabelStay>,
    /// Files of prompts that take no versions.
    pub left_out: Vec<LeftOut>,
    /// What is no mistake of a file that changed, and likely to surprise.
    pub warnings: Vec<Diagnostic>,
}

/// A file that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The prompt that the file names.
    pub name: PromptName,
    /// The file.
    pub file: String,
    /// What the prompt was renamed to; `None` where it is archived.
    pub renamed_to: Option<PromptName>,
}

impl Imports {
    /// Whether the folder had no file of a prompt.
    #[must_use]
    pub fn is_of_nothing(&self) -> bool {
        self.created.is_empty() && self.unchanged == 0 && self.left_out.is_empty()
    }
}

/// A label's move by an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelMove {
    /// The prompt.
    pub name: PromptName,
    /// The label.
    pub label: Label,
    /// Where it was; `None` where it was unset.
    pub from: Option<u32>,
    /// Where it is.
    pub to: u32,
}

/// Why a label did not follow a file that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelStay {
    /// The prompt.
    pub name: PromptName,
    /// The label.
    pub label: Label,
    /// Where it stays; `None` where it is unset, or on several versions.
    pub at: Option<u32>,
    /// The version that has the file's content.
    pub version: u32,
    /// Why.
    pub reason: StayReason,
}

/// Why an import leaves a label where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StayReason {
    /// Only an admin may move it.
    Protected,
    /// Somebody else made the version: it may be staged.
    MadeByAnother,
    /// Its last move was no import's.
    MovedByHand,
    /// Somebody took it away.
    TakenAway,
}

impl fmt::Display for LabelStay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, label, at, version, reason } = self;
        let place = at.map_or_else(|| "unset".to_owned(), |at| format!("at {at}"));
        let (reason, key) = match reason {
            StayReason::Protected => ("since it is protected".to_owned(), ", with an admin key,"),
            StayReason::MadeByAnother => (format!("since somebody else made version {version}"), ""),
            StayReason::MovedByHand => ("since it was moved by hand".to_owned(), ""),
            StayReason::TakenAway => ("since it was taken away by hand".to_owned(), ""),
        };
        write!(
            f,
            "{name}: {label} stays {place} {reason}; the file is version {version}, and `fulcrum prompt label {name} \
             {label} {version}`{key} releases it"
        )
    }
}

/// A file to import: parsed where it is not the one that the last import read.
struct Incoming {
    file: PromptFile,
    hash: String,
    submission: Option<Submission>,
}

impl Registry {
    /// Takes every file of a folder, or none where one is wrong. New content becomes a new version; `label` is moved
    /// to it where the label is new or its last move was by an import, so that an import never undoes a rollback. A
    /// protected label is never moved, and a version that somebody else made never gets the label: it may be staged.
    ///
    /// # Errors
    /// Every mistake of every file, or that the folder or database fails.
    pub async fn import_dir(&self, path: &Path, label: Option<&Label>, now: Timestamp) -> Result<Imports, Error> {
        let known = store::imported(&self.0.db).await?;
        let (incoming, warnings) = read(path, &known, &|_, draft| draft.warnings())?;
        self.import((&incoming, warnings), label, now).await
    }

    /// As [`Self::import_dir`], with the files read and parsed on a thread of `pool`, and the warnings that `doubts` has of each
    /// file that changed.
    ///
    /// # Errors
    /// As [`Self::import_dir`], and where no thread is free within a minute.
    pub async fn import_dir_aside(
        &self,
        pool: &Pool,
        (path, label): (&Path, Option<&Label>),
        now: Timestamp,
        doubts: impl Fn(&PromptName, &Draft) -> Vec<Diagnostic> + Send + Sync + 'static,
    ) -> Result<Imports, Error> {
        let (known, folder) = (store::imported(&self.0.db).await?, path.to_owned());
        let late = |error: pool::Error| {
            let unread = Diagnostic::new("", format!("the prompts cannot be read: {error}"));
            Error::Files(vec![unread.of_file(path.display().to_string())])
        };
        let read = pool.run(PATIENCE, move || read(&folder, &known, &doubts)).await;
        let (incoming, warnings) = read.map_err(late)??;
        self.import((&incoming, warnings), label, now).await
    }

    async fn import(
        &self,
        (incoming, warnings): (&[Incoming], Vec<Diagnostic>),
        label: Option<&Label>,
        now: Timestamp,
    ) -> Result<Imports, Error> {
        let author = Author { key_id: IMPORTER.to_owned(), name: IMPORTER.to_owned(), admin: true };
        let by = By { author: &author, now };
        let mut done = Imports { warnings, ..Imports::default() };
        let mut changes = self.0.db.begin(TOPIC).await?;
        // Read again inside the transaction: another process may have imported in between.
        let known = store::imported(&mut changes).await?;
        for incoming in incoming {
            let name = &incoming.file.name;
            if let Some(left_out) = left_out(&mut changes, incoming).await? {
                done.left_out.push(left_out);
                continue;
            }
            let last = known.get(name.as_str()).map(|last| last.version);
            let version = take(&mut changes, incoming, last, &by).await?;
            done.count(incoming, version);
            if let (Some(label), (Some(version), _)) = (label, version) {
                match follow(&mut changes, incoming, (label, version), &by).await? {
                    Followed::Moved(moved) => done.labelled.push(moved),
                    Followed::Stayed(stay) if incoming.submission.is_some() => done.stayed.push(stay),
                    Followed::Stayed(_) | Followed::There => {}
                }
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

/// Why a file is left out: its prompt is archived, or has another name. It would come back by its file otherwise.
async fn left_out(tx: &mut Tx, incoming: &Incoming) -> Result<Option<LeftOut>, Error> {
    let PromptFile { name, file, .. } = &incoming.file;
    let Some(State { archived, renamed_to }) = store::state(tx, name).await? else { return Ok(None) };
    let renamed_to = match renamed_to {
        Some(to) => Some(store::now_called(tx, to).await?),
        None => None,
    };
    let is_left_out = archived || renamed_to.is_some();
    Ok(is_left_out.then(|| LeftOut { name: name.clone(), file: file.clone(), renamed_to }))
}

/// What is said of a prompt's file that is no mistake.
type Doubts<'a> = dyn Fn(&PromptName, &Draft) -> Vec<Diagnostic> + Sync + 'a;

fn read(
    path: &Path,
    known: &HashMap<String, Imported>,
    doubts: &Doubts<'_>,
) -> Result<(Vec<Incoming>, Vec<Diagnostic>), Error> {
    let (files, mut problems) = folder::read_dir(path)?;
    let mut warnings = Vec::new();
    let mut incoming = Vec::with_capacity(files.len());
    for file in files {
        let hash = blake3::hash(file.text.as_bytes()).to_hex().to_string();
        if known.get(file.name.as_str()).is_some_and(|known| known.file_hash == hash) {
            incoming.push(Incoming { file, hash, submission: None });
            continue;
        }
        match parse_file_with(&file.file, &file.text, &|draft| doubts(&file.name, draft)) {
            Err(found) => problems.extend(found),
            Ok((draft, found)) => {
                warnings.extend(found);
                let message = format!("{IMPORTED}{}", file.file);
                let submission = Some(Submission { message, ..draft.into() });
                incoming.push(Incoming { file, hash, submission });
            }
        }
    }
    if problems.is_empty() { Ok((incoming, warnings)) } else { Err(Error::Files(problems)) }
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

enum Followed {
    Moved(LabelMove),
    /// The label points at the version already.
    There,
    Stayed(LabelStay),
}

/// Moves the label to the imported version, where the label is new or its last move was by an import, and an import made the version.
async fn follow(
    tx: &mut Tx,
    incoming: &Incoming,
    (label, version): (&Label, u32),
    by: &By<'_>,
) -> Result<Followed, Error> {
    let name = &incoming.file.name;
    let (protected, targets) = store::label(tx, name, label).await?.unzip();
    let from = match targets.as_deref() {
        Some([target]) if target.version == version => return Ok(Followed::There),
        Some([target]) => Some(target.version),
        _ => None,
    };
    let made_by_import = store::key_of(tx, name, version).await?.as_deref() == Some(IMPORTER);
    let last_move = store::last_move(tx, name, label).await?;
    let by_hand = last_move.is_some_and(|last| last.key_id != IMPORTER && !last.reason.starts_with(IMPORTED));
    let reason = match targets {
        _ if protected == Some(true) => Some(StayReason::Protected),
        None if by_hand => Some(StayReason::TakenAway),
        Some(_) if by_hand => Some(StayReason::MovedByHand),
        _ if !made_by_import => Some(StayReason::MadeByAnother),
        _ => None,
    };
    let (name, label) = (name.clone(), label.clone());
    if let Some(reason) = reason {
        return Ok(Followed::Stayed(LabelStay { name, label, at: from, version, reason }));
    }
    let change = LabelChange::to(label.clone(), version, &format!("{IMPORTED}{}", incoming.file.file));
    put_label(tx, &name, &change, by).await?;
    Ok(Followed::Moved(LabelMove { name, label, from, to: version }))
}
