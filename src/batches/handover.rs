//! What of a batch was handed to a provider's own batch API.

use std::sync::Arc;

use crate::types::Timestamp;

/// How far a hand-over has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The lines are stored; nothing was sent to the provider.
    Planned,
    /// The hand-over was about to be sent, and may have been: only the provider knows.
    Submitting,
    /// The provider has the hand-over.
    Running,
    /// Every line has its result.
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
    /// The provider's route that the lines call.
    pub path: String,
    /// The file of ours with the lines in the provider's form.
    pub content_id: String,
    /// How many lines.
    pub lines: u64,
    /// The provider's id of the file of lines.
    pub remote_file_id: Option<String>,
    /// The provider's id of the batch.
    pub remote_id: Option<String>,
    /// The hand-over's stage.
    pub stage: Stage,
    /// When the hand-over was about to be sent.
    pub submitted_at: Option<Timestamp>,
}

/// A line that is handed over.
#[derive(Clone, Debug)]
pub struct HandedLine {
    /// The line's number.
    pub n: u64,
    /// The hand-over that the line belongs to.
    pub handover: u64,
    /// What is needed to read the provider's answer, JSON.
    pub handed: String,
}

/// A line without a result, with what is needed to read the provider's answer.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// The line's number.
    pub n: u64,
    /// The owner's name for the line.
    pub custom_id: String,
    /// What was stored when the line was handed over, JSON.
    pub handed: String,
}
