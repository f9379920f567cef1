//! A batch: its states, and its form in OpenAI's API.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::Error;
use super::id::new_id;
use super::status::Status;
use crate::chat::Usage;
use crate::types::Timestamp;
use crate::wire::endpoint::{ENDPOINTS, Endpoint};

/// How long a batch may take: the one window there is.
pub const WINDOW: Duration = Duration::from_secs(86_400);

/// The most pairs of a batch's metadata, and the longest of their names and values; as OpenAI has them.
const MAX_PAIRS: usize = 16;
const MAX_NAME: usize = 64;
const MAX_VALUE: usize = 512;

/// The least and the most seconds that the files which a batch writes may be stored for.
const OUTPUT_LIFE: std::ops::RangeInclusive<u64> = 3_600..=2_592_000;

/// What is wrong with a batch or with a line of its file: an item of the batch's `errors`, as OpenAI's API shows and names
/// it. A type of its own, since a client's library reads these fields, and the database stores them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchError {
    /// A word that programs read.
    pub code: String,
    /// The line, from 1; `None` where the mistake is of no single line.
    pub line: Option<u64>,
    /// What is wrong and what would be right.
    pub message: String,
    /// The field at fault.
    pub param: Option<String>,
}

impl BatchError {
    /// A mistake of no line and no field.
    #[must_use]
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), line: None, message: message.into(), param: None }
    }

    /// The same mistake, of this field.
    #[must_use]
    pub fn at(self, param: &str) -> Self {
        Self { param: Some(param.to_owned()), ..self }
    }
}

/// How many lines there are, and how many have a result of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All.
    pub total: u64,
    /// Lines that were answered.
    pub completed: u64,
    /// Lines that failed, were cancelled or came too late.
    pub failed: u64,
}

/// When something happened to a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the statuses")]
pub struct Times {
    pub in_progress: Option<Timestamp>,
    pub finalizing: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    pub failed: Option<Timestamp>,
    pub expired: Option<Timestamp>,
    pub cancelling: Option<Timestamp>,
    pub cancelled: Option<Timestamp>,
}

/// A batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The batch's id, which sorts by time.
    pub id: Arc<str>,
    /// The project of the batch.
    pub project: Arc<str>,
    /// The virtual key that its lines call with.
    pub key_id: Arc<str>,
    /// What its lines call.
    pub endpoint: String,
    /// The file of its lines.
    pub input_file_id: String,
    /// The file of its answers.
    pub output_file_id: Option<String>,
    /// The file of its errors.
    pub error_file_id: Option<String>,
    /// How long the files that the batch writes are stored, where its maker set that.
    pub output_expires_after: Option<Duration>,
    /// The maker's notes.
    pub metadata: Option<Map<String, Value>>,
    /// The batch's status.
    pub status: Status,
    /// The status that the batch will end with, while it is finalizing.
    pub outcome: Option<Status>,
    /// Why the batch failed.
    pub errors: Vec<BatchError>,
    /// Counts of the lines.
    pub counts: Counts,
    /// The tokens of its answers.
    pub usage: Usage,
    /// When the batch was made.
    pub created_at: Timestamp,
    /// Until when its lines may begin.
    pub expires_at: Timestamp,
    /// When the batch reached each status.
    pub times: Times,
}

/// A batch to make.
#[derive(Clone, Debug)]
pub struct NewBatch {
    /// The project of the batch.
    pub project: Arc<str>,
    /// The virtual key that its lines call with.
    pub key_id: Arc<str>,
    /// The file of its lines.
    pub input_file_id: String,
    /// What its lines call.
    pub endpoint: String,
    /// How long the batch may take.
    pub completion_window: String,
    /// Notes.
    pub metadata: Option<Map<String, Value>>,
    /// How long the files that the batch writes are stored, in seconds.
    pub output_expires_after: Option<u64>,
}

impl NewBatch {
    pub(super) fn build(self, now: Timestamp) -> Result<Batch, Error> {
        let invalid = |field, problem: String| Err(Error::Invalid { field, problem });
        if !Endpoint::at(&self.endpoint).is_some_and(|endpoint| endpoint.row().in_batches) {
            let names: Vec<_> = ENDPOINTS.iter().filter(|row| row.in_batches).map(|row| row.name).collect();
            return invalid("endpoint", format!("must be one of {}", names.join(", ")));
        }
        if self.completion_window != "24h" {
            return invalid("completion_window", "must be `24h`".to_owned());
        }
        if let Some(metadata) = &self.metadata {
            check_metadata(metadata)?;
        }
        if self.output_expires_after.is_some_and(|seconds| !OUTPUT_LIFE.contains(&seconds)) {
            let (least, most) = (OUTPUT_LIFE.start(), OUTPUT_LIFE.end());
            return invalid("output_expires_after", format!("must have {least} to {most} `seconds`"));
        }
        Ok(Batch {
            id: new_id("batch_").into(),
            project: self.project,
            key_id: self.key_id,
            endpoint: self.endpoint,
            input_file_id: self.input_file_id,
            output_file_id: None,
            error_file_id: None,
            output_expires_after: self.output_expires_after.map(Duration::from_secs),
            metadata: self.metadata,
            status: Status::Validating,
            outcome: None,
            errors: Vec::new(),
            counts: Counts::default(),
            usage: Usage::default(),
            created_at: now,
            expires_at: now.plus(WINDOW),
            times: Times::default(),
        })
    }
}

fn check_metadata(metadata: &Map<String, Value>) -> Result<(), Error> {
    let fits = |(name, value): (&String, &Value)| {
        let value = value.as_str().map(|text| text.chars().count());
        name.chars().count() <= MAX_NAME && value.is_some_and(|length| length <= MAX_VALUE)
    };
    if metadata.len() <= MAX_PAIRS && metadata.iter().all(fits) {
        return Ok(());
    }
    let problem =
        format!("has at most {MAX_PAIRS} pairs of texts: names of {MAX_NAME} characters, values of {MAX_VALUE}");
    Err(Error::Invalid { field: "metadata", problem })
}

impl Batch {
    /// The batch as OpenAI's API shows it.
    #[must_use]
    pub fn json(&self) -> Value {
        let Times { in_progress, finalizing, completed, failed, expired, cancelling, cancelled } = self.times;
        let at = |time: Option<Timestamp>| time.map(Timestamp::seconds);
        let errors = (!self.errors.is_empty()).then(|| json!({"object": "list", "data": self.errors}));
        let Counts { total, completed: done, failed: lost } = self.counts;
        json!({
            "id": self.id,
            "object": "batch",
            "endpoint": self.endpoint,
            "model": null,
            "errors": errors,
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status.text(),
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "created_at": self.created_at.seconds(),
            "in_progress_at": at(in_progress),
            "expires_at": self.expires_at.seconds(),
            "finalizing_at": at(finalizing),
            "completed_at": at(completed),
            "failed_at": at(failed),
            "expired_at": at(expired),
            "cancelling_at": at(cancelling),
            "cancelled_at": at(cancelled),
            "request_counts": {"total": total, "completed": done, "failed": lost},
            "usage": usage(&self.usage),
            "metadata": self.metadata,
        })
    }
}

fn usage(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.input,
        "input_tokens_details": {"cached_tokens": usage.cached_input},
        "output_tokens": usage.output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": usage.input.saturating_add(usage.output),
    })
}
