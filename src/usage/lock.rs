//! The lock that makes a process the ledger's only writer, and the database's file as it was opened.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::Error;
use crate::db::{Inode, take_inode};

/// How often a lock that another process holds is tried.
pub(super) const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The lock of a database: a file beside it, and, where the system has them, a name made of the file's device and number, which is
/// the same by whatever hard link the file is reached.
#[derive(Debug)]
pub(super) struct Lock {
    beside: File,
    _inode: Option<Inode>,
}

impl Lock {
    /// Releases it.
    ///
    /// # Errors
    /// Where the system does not let the file go before the process ends.
    pub(super) fn release(self) -> std::io::Result<()> {
        self.beside.unlock()
    }
}

/// Takes the lock that makes this process the ledger's only writer; the system releases it when the process ends. A command
/// may hold it for a moment.
pub(super) async fn lock(database: &Path, patience: Duration) -> Result<Lock, Error> {
    let until = Instant::now() + patience;
    loop {
        match try_lock(database) {
            Err(Error::InUse(_)) if Instant::now() < until => sleep(LOCK_PAUSE).await,
            answer => return answer,
        }
    }
}

fn try_lock(database: &Path) -> Result<Lock, Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut name = database.as_os_str().to_owned();
    name.push("-lock");
    let path = PathBuf::from(name);
    let opened = File::options().create(true).append(true).mode(0o600).open(&path);
    let file = opened.map_err(|source| Error::File { path: path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => with_inode(database, file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse(path)),
        Err(std::fs::TryLockError::Error(source)) => Err(Error::File { path, source }),
    }
}

fn with_inode(database: &Path, beside: File) -> Result<Lock, Error> {
    match take_inode(database) {
        Ok(inode) => Ok(Lock { beside, _inode: inode }),
        Err(_) => Err(Error::InUse(database.to_owned())),
    }
}

/// The database's file as it was opened.
#[derive(Debug)]
pub(super) struct DatabaseFile {
    path: PathBuf,
    /// Its device and number there.
    identity: Option<(u64, u64)>,
    pub(super) is_gone: AtomicBool,
}

impl DatabaseFile {
    /// The file at `path`, as it is now.
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path), is_gone: AtomicBool::new(false) }
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks whether it still lies there.
    pub(super) fn look(&self) {
        let gone = self.identity.is_some() && identity(&self.path) != self.identity;
        if self.is_gone.swap(gone, Ordering::Relaxed) == gone {
            return;
        }
        let path = self.path.display();
        if gone {
            tracing::error!(%path, "{path} was deleted or replaced while it is in use; no call goes out until it is back, or after a new start");
        } else {
            tracing::info!(%path, "{path} is back");
        }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(path).ok().map(|data| (data.dev(), data.ino()))
}
