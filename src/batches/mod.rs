//! Files that callers leave here, and batches that run from them, in the shape of OpenAI's API.

mod batch;
mod closed;
mod error;
mod file;
mod files;
mod handover;
mod id;
mod line;
mod registry;
mod running;
mod scope;
mod settings;
mod split;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod upload;

pub use batch::{Batch, BatchError, Counts, NewBatch, Times, WINDOW};
pub use closed::Closed;
pub use error::Error;
pub use file::{CHUNK, File, Purpose};
pub use handover::{Awaited, HandedLine, Handover, Stage};
pub use line::{Line, Verdict, read_line, result};
pub use registry::Batches;
pub use scope::{Part, Scope};
pub use settings::Settings;
pub use split::{Lines, Piece, TooLong};
pub use status::Status;
pub use store::{ActiveBatch, NewLine, Pending, Stored};
pub use upload::Upload;
