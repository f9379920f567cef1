//! Ids of files that were uploaded to a provider.

/// Whether an uploaded file's id is one of Anthropic's or of Google's.
#[must_use]
pub fn is_foreign(id: &str) -> bool {
    id.starts_with("file_") || id.contains('/')
}
