//! Where the admin key goes that a first start makes: to stderr once, or to a file that only its owner can read.

use std::fs::{self, OpenOptions};
use std::io::{Error, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf, absolute};

use super::client::env;
use super::output::note;
use crate::db;
use crate::types::Secret;

/// Hands the key over. systemd's journal stores what it gets for good, so there the key goes to a file.
pub fn hand_over(key: &Secret, named: Option<&Path>, database: &str) {
    let to_journal = || is_journal(env("JOURNAL_STREAM").as_deref(), "/proc/self/fd/2");
    let file = named.map(Path::to_owned).or_else(|| to_journal().then(|| beside(database)));
    let Some(file) = file else { return print(key) };
    let shown = absolute(&file).unwrap_or_else(|_| file.clone());
    match write_private(&file, key) {
        Ok(()) => tracing::warn!(
            "the admin key of this first start is in {}; read it, store it safely, and delete the file",
            shown.display()
        ),
        Err(error) => {
            tracing::warn!("{} cannot be written: {error}; the admin key is shown instead", shown.display());
            print(key);
        }
    }
}

fn print(key: &Secret) {
    // One line for the key, which fits into a terminal of 80 columns whole.
    note(&format!("admin key: {}", key.expose()));
    note("It is shown this once. Store it safely; the database has a hash of it alone.");
}

/// The file beside the database.
fn beside(database: &str) -> PathBuf {
    PathBuf::from(format!("{}-admin-key", db::place(database)))
}

/// Writes a new file of mode 0600; an old one of that name, which may be open to others, is not used.
fn write_private(file: &Path, key: &Secret) -> Result<(), Error> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{}", key.expose())?;
    file.sync_all()
}

/// Whether `stream` is the one that systemd says leads to its journal, as `device:inode`.
fn is_journal(journal: Option<&str>, stream: &str) -> bool {
    let Some((device, inode)) = journal.and_then(|journal| journal.split_once(':')) else { return false };
    fs::metadata(stream).is_ok_and(|found| found.dev().to_string() == device && found.ino().to_string() == inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_systemd_names_is_its_journal() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = fs::metadata(file.path()).unwrap();
        let stream = file.path().to_str().unwrap();
        let named = format!("{}:{}", found.dev(), found.ino());
        assert!(is_journal(Some(&named), stream));
        for other in [None, Some(""), Some("1"), Some("0:0"), Some(&*format!("{}:{}", found.dev(), found.ino() + 1))] {
            assert!(!is_journal(other, stream), "{other:?}");
        }
    }

    #[test]
    fn the_file_is_new_and_its_owners_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        write_private(&file, &Secret::new("fk-a")).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "fk-a\n");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        assert!(write_private(&file, &Secret::new("fk-b")).is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "fk-a\n");
    }
}
