//! Ids of files and batches.

/// A new id, which sorts by time.
pub(super) fn new_id(prefix: &str) -> String {
    format!("{prefix}{}", uuid::Uuid::now_v7().simple())
}

/// What may be shown of an id that a caller sent.
pub(super) fn shown(id: &str) -> String {
    id.chars().take(80).collect()
}
