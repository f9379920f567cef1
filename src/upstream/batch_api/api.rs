//! What a batch API is: its address, its requests and its answers.

use bytes::Bytes;
use http::HeaderValue;
use serde_json::value::RawValue;

use crate::types::Timestamp;

/// One API of batches. Each kind of provider that has one has a row of these.
pub struct BatchApi {
    /// The end of the base URL, which is added where it is missing.
    pub(super) base: &'static str,
    /// The path of its batches.
    pub(super) batches: &'static str,
    /// The parameter of a list that names the batch before it.
    pub(super) after: &'static str,
    /// The paths of calls that the API runs.
    pub paths: &'static [&'static str],
    /// Whether all lines of a batch must call one model.
    pub one_model: bool,
    /// How lines are brought as a file. Where there is none they go with the order, and results are no files either.
    pub file: Option<FileForm>,
    /// A line, with an end, of its name, its path and its body.
    pub line: fn(&str, &str, &RawValue) -> Vec<u8>,
    /// The body that makes a batch.
    pub order: fn(&Order<'_>) -> Bytes,
    /// How a batch stands.
    pub state: fn(&[u8]) -> Option<RemoteBatch>,
    /// A part of the list of batches.
    pub list: fn(&[u8]) -> Option<ListedBatches>,
    /// Reads a line of the results: its id and its outcome.
    pub result: fn(&[u8]) -> Option<(String, LineOutcome)>,
}

/// The body that uploads a file of these lines, and its type.
pub type FileForm = fn(&[u8]) -> (HeaderValue, Bytes);

/// What a batch is made of.
pub struct Order<'a> {
    /// The lines.
    pub content: &'a [u8],
    /// The provider's id of the file with the lines, where the API takes files.
    pub file: Option<&'a str>,
    /// The path that they call.
    pub path: &'a str,
    /// The batch whose lines they are.
    pub batch: &'a str,
    /// Which part of the batch the lines are.
    pub part: u64,
}

/// How a provider's batch stands, and the files of its results.
pub struct RemoteBatch {
    /// The batch's state.
    pub state: RemoteState,
    /// The ids of the files of its results.
    pub files: Vec<String>,
}

/// How a provider's batch stands.
pub enum RemoteState {
    /// The batch has not ended.
    Running,
    /// Each of its lines that ran has a result.
    Ended,
    /// None of its lines ran, for this reason.
    Failed(String),
}

/// A part of a provider's list of batches.
pub struct ListedBatches {
    /// The batches, the newest first.
    pub batches: Vec<ListedBatch>,
    /// Whether the list goes on.
    pub more: bool,
}

/// A batch in a provider's list.
pub struct ListedBatch {
    /// The provider's id.
    pub id: String,
    /// The batch and the part that it was marked with.
    pub mark: Option<(String, u64)>,
    /// When the batch was made.
    pub made_at: Option<Timestamp>,
    /// How many lines the batch has.
    pub lines: Option<u64>,
}

/// What became of a line.
#[derive(Debug)]
pub enum LineOutcome {
    /// The line was answered.
    Answered {
        /// The HTTP status that a call would have had.
        status: u16,
        /// The body that a call would have had.
        body: Bytes,
    },
    /// The line did not run.
    NotRun {
        /// Whether because its time was over.
        expired: bool,
        /// The provider's reason.
        message: String,
    },
}

/// The provider's id of a file or batch that was made, which every API answers with.
#[must_use]
pub fn id_of(made: &[u8]) -> Option<String> {
    serde_json::from_slice::<serde_json::Value>(made).ok()?["id"].as_str().map(str::to_owned)
}
