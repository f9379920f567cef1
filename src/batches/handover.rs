//! What of a batch was handed to a provider's own batch API.

use std::sync::Arc;

use crate::types::Timestamp;

/// How far a hand-over has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its lines are written down; the provider knows of none.
    Planned,
    /// It was about to be sent, or was: only the provider knows.
    Submitting,
    /// The provider has it.
    Running,
    /// Its lines have their results.
    Ended,
}

impl Stage {
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Planned => "planned",
            Self::Submitting => "submitting",
            Self::Running => "running",
            Self::Ended => "ended",
        }
    }

    pub(super) fn of(text: &str) -> Option<Self> {
        [Self::Planned, Self::Submitting, Self::Running, Self::Ended].into_iter().find(|stage| stage.text() == text)
    }
}

/// Some lines of a batch that are one batch of a provider's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// 1, 2, 3, … within the batch.
    pub n: u64,
    /// The provider.
    pub provider: Arc<str>,
    /// The provider's route that its lines call.
    pub path: String,
    /// The file here that has its lines as the provider gets them.
    pub content_id: String,
    /// How many lines.
    pub lines: u64,
    /// The provider's id of the file of its lines.
    pub remote_file_id: Option<String>,
    /// The provider's id of the batch.
    pub remote_id: Option<String>,
    /// How far it has come.
    pub stage: Stage,
    /// When it was about to be sent.
    pub submitted_at: Option<Timestamp>,
}

/// A line that is handed over.
#[derive(Clone, Debug)]
pub struct HandedLine {
    /// Its number.
    pub n: u64,
    /// The hand-over that it belongs to.
    pub handover: u64,
    /// What must be known when its answer comes, JSON.
    pub handed: String,
}

/// A line without a result, and what must be known of it.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// Its number.
    pub n: u64,
    /// Its owner's name for it.
    pub custom_id: String,
    /// What was stored of it, JSON.
    pub handed: String,
}
