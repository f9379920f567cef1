//! A name that is longer than an API takes, as a hash of it: the same for the same name.

/// A hash of 64 characters in place of a text of more than `most` characters; `None` for a shorter one.
pub(super) fn hashed(text: &str, most: usize) -> Option<String> {
    text.chars().nth(most)?;
    Some(blake3::hash(text.as_bytes()).to_hex().as_str().to_owned())
}
