//! One database file with two names, by hard links: SQLite's write-ahead log lies beside one of them, so what is opened by the other
//! lacks what was written, and two writers would destroy the file.
//!
//! The writer of a database holds a socket in Linux's abstract namespace, whose name is made of the file's device and number. To lock the file
//! itself would mean to open it once more, and closing that would release SQLite's own locks.

use std::fs::File;
use std::io;
use std::path::Path;

/// What is held of a database's file by its device and number, until this is dropped.
#[cfg(target_os = "linux")]
pub type Inode = std::os::unix::net::UnixDatagram;

/// Other systems have no such names.
#[cfg(not(target_os = "linux"))]
pub type Inode = std::convert::Infallible;

/// Takes a database's file by its device and number; `None` where the system has no such names.
///
/// # Errors
/// [`io::ErrorKind::AddrInUse`] where another has it.
#[cfg(target_os = "linux")]
pub fn take_inode(database: &Path) -> io::Result<Option<Inode>> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::fs::MetadataExt;
    let Ok(data) = std::fs::metadata(database) else { return Ok(None) };
    let name = format!("fulcrum-ledger-{}-{}", data.dev(), data.ino());
    match std::os::unix::net::SocketAddr::from_abstract_name(name).and_then(|name| Inode::bind_addr(&name)) {
        Ok(socket) => Ok(Some(socket)),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        // A sandbox may have no such sockets.
        Err(_) => Ok(None),
    }
}

/// Other systems have no such names.
///
/// # Errors
/// None.
#[cfg(not(target_os = "linux"))]
pub fn take_inode(_database: &Path) -> io::Result<Option<Inode>> {
    Ok(None)
}

/// Refuses a file that is in use by another name.
pub(super) fn refuse_another_name(database: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let has_one_name = std::fs::metadata(database).is_ok_and(|data| data.nlink() < 2);
    if has_one_name || take_inode(database).is_ok() {
        return Ok(());
    }
    let mut lock = database.as_os_str().to_owned();
    lock.push("-lock");
    let is_by_this_name = File::open(lock).is_ok_and(|lock| lock.try_lock().is_err());
    if is_by_this_name {
        Ok(())
    } else {
        Err(io::Error::other(
            "another Fulcrum uses this file by another name, a hard link; use that name, or stop it first",
        ))
    }
}
