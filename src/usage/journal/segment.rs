//! The journal's files: their names, which of them hold a request's records, and when one may go.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One file of the journal.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) number: u64,
    pub(super) file: File,
    /// Records whose requests are not in the database, and one more while it takes records.
    pub(super) held: AtomicUsize,
}

/// The files that hold a request's records. `Journal::settled` alone releases them: a request that is never settled keeps its
/// files for the next start.
#[derive(Debug, Default)]
pub struct SegmentRefs {
    /// The file of the first, and how many records it holds.
    pub(super) first: Option<(Arc<Segment>, usize)>,
    pub(super) others: Vec<Arc<Segment>>,
}

impl SegmentRefs {
    /// Notes a record in `segment`.
    pub(super) fn hold(&mut self, segment: &Arc<Segment>) {
        segment.held.fetch_add(1, Ordering::Relaxed);
        match &mut self.first {
            Some((first, records)) if first.number == segment.number => *records += 1,
            Some(_) => self.others.push(segment.clone()),
            None => self.first = Some((segment.clone(), 1)),
        }
    }
}

/// What a journal's file is called after its database's name.
const NAME: &str = "-ledger.";

/// What releases before the records called it, whose files hold lines. Such a release takes a record for a damaged line and
/// deletes the file, so records have a name that it does not look for.
const NAME_OF_LINES: &str = "-intents.";

/// The numbers of the files that lie next to `database`, in order.
///
/// # Errors
/// Where the folder cannot be read.
pub(in crate::usage) fn segments(database: &Path) -> io::Result<Vec<u64>> {
    numbers(database, NAME)
}

/// The files that a process left next to `database`, in order: those with lines first, since a release that writes them came
/// before.
///
/// # Errors
/// Where the folder cannot be read.
pub(in crate::usage) fn left(database: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for name in [NAME_OF_LINES, NAME] {
        paths.extend(numbers(database, name)?.into_iter().map(|number| path(database, name, number)));
    }
    Ok(paths)
}

fn numbers(database: &Path, name: &str) -> io::Result<Vec<u64>> {
    let folder = folder_of(database);
    let prefix = format!("{}{name}", database.file_name().unwrap_or_default().to_string_lossy());
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_prefix(&prefix)).and_then(|number| number.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn path(database: &Path, name: &str, number: u64) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push(format!("{name}{number}"));
    path.into()
}

/// The folder that `database` lies in.
pub(super) fn folder_of(database: &Path) -> &Path {
    database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where the file with this number lies.
pub(in crate::usage) fn segment_path(database: &Path, number: u64) -> PathBuf {
    path(database, NAME, number)
}

/// Deletes a file; that it is gone already is as well.
pub(in crate::usage) fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a settled file of the journal cannot be deleted: {error}");
    }
}

/// Makes a file that its owner alone reads.
pub(super) fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = OpenOptions::new().create_new(true).append(true).mode(0o600).open(path)?;
    claim(&file)?;
    Ok(file)
}

/// Locks a file of the journal for as long as it is open, so that no other process takes it up while its writer lives: not even
/// where the lock file beside the database is gone, or in another container. A file system without locks has none to say.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] where its writer lives.
pub(super) fn claim(file: &File) -> io::Result<()> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Where a release before the records would have written its file with this number.
#[cfg(test)]
pub(in crate::usage) fn path_of_lines(database: &Path, number: u64) -> PathBuf {
    path(database, NAME_OF_LINES, number)
}
