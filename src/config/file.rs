//! Reads files of a bounded size, and none that would never end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The text of a plain file of at most `most` bytes.
///
/// # Errors
/// Where the file is a pipe, a device or a folder, is longer, or is not UTF-8.
pub(super) fn text_of(path: &Path, most: u64) -> io::Result<String> {
    check(path, most)?;
    let mut text = String::new();
    File::open(path)?.take(most + 1).read_to_string(&mut text)?;
    if text.len() as u64 > most { Err(too_long(most)) } else { Ok(text) }
}

/// Checks that `path` is a plain file of at most `most` bytes: opening a pipe waits for its writer.
///
/// # Errors
/// Where it is not.
pub(super) fn check(path: &Path, most: u64) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Err(io::Error::other("it is no plain file"));
    }
    if found.len() > most { Err(too_long(most)) } else { Ok(()) }
}

fn too_long(most: u64) -> io::Error {
    io::Error::other(format!("it has more than {} KiB", most >> 10))
}
