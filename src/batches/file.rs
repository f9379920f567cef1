//! A file: its fields beside its bytes.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::types::Timestamp;

/// The bytes of a file's piece; only the last is shorter.
pub const CHUNK: usize = 256 << 10;

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// For a batch to read.
    Batch,
    /// Written by a batch.
    BatchOutput,
}

impl Purpose {
    /// The purpose as the API and the database spell it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::BatchOutput => "batch_output",
        }
    }

    pub(super) fn of(text: &str) -> Option<Self> {
        [Self::Batch, Self::BatchOutput].into_iter().find(|purpose| purpose.text() == text)
    }
}

/// A file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The file's id, which sorts by time.
    pub id: Arc<str>,
    /// The project of the file.
    pub project: Arc<str>,
    /// The virtual key that uploaded the file.
    pub key_id: Arc<str>,
    /// What the file is for.
    pub purpose: Purpose,
    /// The owner's name for the file.
    pub filename: String,
    /// The file's size, in bytes.
    pub bytes: u64,
    /// When the file was made.
    pub created_at: Timestamp,
    /// When the file expires.
    pub expires_at: Option<Timestamp>,
}

impl File {
    /// Whether its time is over.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    /// The file as OpenAI's API shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "id": self.id,
            "object": "file",
            "bytes": self.bytes,
            "created_at": self.created_at.seconds(),
            "expires_at": self.expires_at.map(Timestamp::seconds),
            "filename": self.filename,
            "purpose": self.purpose.text(),
            "status": "processed",
            "status_details": null,
        })
    }
}
