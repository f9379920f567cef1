//! Prompts as files in a folder: `NAME.toml`, one a prompt.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::draft::Draft;
use super::error::Error;
use super::toml_text::parse_file_with;
use crate::types::{Diagnostic, PromptName};

/// The longest file that is read, in bytes.
pub const MAX_FILE: u64 = 256 << 10;

const MAX_FILES: usize = 10_000;

/// A file's text, not parsed yet.
#[derive(Debug)]
pub(super) struct PromptFile {
    pub(super) name: PromptName,
    /// The file's path, for reports.
    pub(super) file: String,
    pub(super) text: String,
}

/// A file that was read and found right.
#[derive(Clone, Debug)]
pub struct Checked {
    /// The prompt's name.
    pub name: PromptName,
    /// Its text.
    pub draft: Draft,
    /// What is no mistake, and likely to surprise.
    pub warnings: Vec<Diagnostic>,
}

/// Reads and checks every file of a folder, without a database.
///
/// # Errors
/// Every mistake of every file, or that the folder cannot be read.
pub fn check_dir(path: &Path) -> Result<Vec<Checked>, Error> {
    check_dir_with(path, &|_, draft| draft.warnings())
}

/// As [`check_dir`], with the warnings that `doubts` has of each prompt.
///
/// # Errors
/// As [`check_dir`].
pub fn check_dir_with(
    path: &Path,
    doubts: &dyn Fn(&PromptName, &Draft) -> Vec<Diagnostic>,
) -> Result<Vec<Checked>, Error> {
    let mut checked = Vec::new();
    let (files, mut problems) = read_dir(path)?;
    for file in files {
        match parse_file_with(&file.file, &file.text, &|draft| doubts(&file.name, draft)) {
            Ok((draft, warnings)) => checked.push(Checked { name: file.name, draft, warnings }),
            Err(found) => problems.extend(found),
        }
    }
    if problems.is_empty() { Ok(checked) } else { Err(Error::Files(problems)) }
}

/// The files of a folder in the order of their names, and those that cannot be read.
/// Other than `.toml` files, and hidden ones, are left alone.
pub(super) fn read_dir(path: &Path) -> Result<(Vec<PromptFile>, Vec<Diagnostic>), Error> {
    let failed = |source: io::Error| Error::Folder { path: path.display().to_string(), source };
    let root = fs::canonicalize(path).map_err(failed)?;
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for (i, entry) in fs::read_dir(path).map_err(failed)?.enumerate() {
        if i >= MAX_FILES {
            return Err(failed(io::Error::other(format!("has more than {MAX_FILES} files"))));
        }
        let file = entry.map_err(failed)?.path();
        match read_file(&root, &file) {
            Ok(Some(read)) => files.push(read),
            Ok(None) => {}
            Err(message) => {
                problems.push(Diagnostic::new("", message).of_file(file.to_string_lossy()));
            }
        }
    }
    problems.sort_by(|a: &Diagnostic, b| a.file.cmp(&b.file));
    files.sort_by(|a: &PromptFile, b| a.name.cmp(&b.name));
    Ok((files, problems))
}

/// Reads a file of the folder `root`. A link is read where it leads to a file inside the folder, as in a volume of Kubernetes, whose
/// files are links into a hidden folder (`p.toml -> ..data/p.toml`, `..data -> ..2026_01_01…`).
fn read_file(root: &Path, path: &Path) -> Result<Option<PromptFile>, String> {
    let Some(file) = path.to_str() else { return Err("the file's name is not UTF-8".to_owned()) };
    let base = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if base.starts_with('.') {
        return Ok(None);
    }
    let mut about = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    let stem = base.strip_suffix(".toml");
    let mut place = path.to_owned();
    if about.is_symlink() {
        if stem.is_none() {
            return Ok(None);
        }
        place = linked(root, path)?;
        about = fs::symlink_metadata(&place).map_err(|error| error.to_string())?;
    }
    if about.is_dir() {
        return Err("folders inside the prompts' folder are not read; move its files up".to_owned());
    }
    let Some(stem) = stem else { return Ok(None) };
    if !about.is_file() {
        return Err("is a special file; only plain files are read, and links to them".to_owned());
    }
    let name = stem.parse::<PromptName>().map_err(|error| format!("the file names the prompt: {error}"))?;
    if about.len() > MAX_FILE {
        return Err(format!("has {} bytes; the limit is {MAX_FILE}", about.len()));
    }
    let mut bytes = Vec::new();
    let opened = fs::File::open(&place).map_err(|error| error.to_string())?;
    opened.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let text = String::from_utf8(bytes).map_err(|_| "the text is not UTF-8".to_owned())?;
    Ok(Some(PromptFile { name, file: file.to_owned(), text }))
}

/// Where a link leads, within the folder `root`.
fn linked(root: &Path, path: &Path) -> Result<PathBuf, String> {
    let place = fs::canonicalize(path).map_err(|error| format!("is a link that leads to no file: {error}"))?;
    match place.starts_with(root) {
        true => Ok(place),
        false => Err(format!("is a link out of the folder, to {}; only links inside it are read", place.display())),
    }
}

/// A mark of the files of a folder as they are: it differs where one was written, added or taken away. `None` where the folder
/// cannot be read.
#[must_use]
pub fn stamp(path: &Path) -> Option<u64> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).ok()?.take(MAX_FILES).flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.ends_with(".toml") && !name.starts_with('.')) else {
            continue;
        };
        // Of the file that a link leads to: the links of a volume stay as they are when its files change.
        let Ok(about) = fs::metadata(entry.path()) else { continue };
        files.push((name.to_owned(), about.modified().ok(), about.len()));
    }
    files.sort();
    let mut hasher = DefaultHasher::new();
    files.hash(&mut hasher);
    Some(hasher.finish())
}

/// Whether a folder has a file of a prompt, right or wrong; `true` where it cannot be read, which its reading reports.
#[must_use]
pub fn has_files(path: &Path) -> bool {
    read_dir(path).map_or(true, |(files, problems)| !files.is_empty() || !problems.is_empty())
}

/// Writes a prompt's file into `folder`, whole or not at all; returns its path.
///
/// # Errors
/// Where the file cannot be written.
pub fn write_file(folder: &Path, name: &PromptName, draft: &Draft) -> Result<PathBuf, Error> {
    let path = folder.join(format!("{name}.toml"));
    let failed = |source| Error::Folder { path: path.display().to_string(), source };
    let beside = path.with_extension("toml.new");
    fs::write(&beside, draft.to_toml()).and_then(|()| fs::rename(&beside, &path)).map_err(failed)?;
    Ok(path)
}
