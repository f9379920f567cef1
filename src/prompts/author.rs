//! Who changes a prompt.

/// Who makes a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The key's id.
    pub key_id: String,
    /// The key's name.
    pub name: String,
    /// Whether the key may move protected labels, and protect them.
    pub admin: bool,
}
