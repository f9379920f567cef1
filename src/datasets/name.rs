//! Names of datasets.

use std::fmt;
use std::str::FromStr;

use super::error::Error;

/// A dataset's name: `a-z0-9_.-`, 1 to 64 characters, beginning with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DatasetName(String);

impl DatasetName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DatasetName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = |byte: u8| plain(byte) || b"_.-".contains(&byte);
        if name.len() > 64 || !name.bytes().next().is_some_and(plain) || !name.bytes().all(fits) {
            let problem = "use 1 to 64 of a-z, 0-9, _, . and -, beginning with a letter or digit";
            return Err(Error::field("name", problem));
        }
        Ok(Self(name.to_owned()))
    }
}

impl fmt::Display for DatasetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
