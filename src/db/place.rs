//! Where a database is.

use std::io::ErrorKind;
use std::path::{PathBuf, absolute};

use super::sqlite::path_of;

/// The file that `url` names, where it is one of SQLite's and is not there.
#[must_use]
pub fn missing_file(url: &str) -> Option<PathBuf> {
    let path = path_of(url).ok()?;
    matches!(std::fs::metadata(&path), Err(error) if error.kind() == ErrorKind::NotFound).then_some(path)
}

/// Where the database of `url` is, for people: SQLite's file, or a server without user and password.
#[must_use]
pub fn place(url: &str) -> String {
    match path_of(url) {
        Ok(path) => absolute(&path).unwrap_or(path).display().to_string(),
        Err(_) => {
            let (scheme, rest) = url.split_once("://").unwrap_or(("", ""));
            let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
            format!("{scheme}://{}", place.split('?').next().unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_no_password() {
        assert_eq!(place("postgres://fulcrum:hunter2@db.example/f?sslpassword=x"), "postgres://db.example/f");
        assert_eq!(place("sqlite:///a/b.db"), "/a/b.db");
        assert!(place("sqlite://data/b.db").ends_with("/data/b.db"));
    }
}
