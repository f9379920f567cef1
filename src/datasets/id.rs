//! Ids of datasets and imports.

/// A new id, which sorts by time.
pub(super) fn new_id() -> String {
    uuid::Uuid::now_v7().to_string()
}
