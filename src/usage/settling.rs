//! What goes to the writer: settlements with who waits for them, and what a crash left.

use tokio::sync::oneshot;

use super::error::Unavailable;
use super::journal::segment::SegmentRefs;
use super::rows::{AttemptRow, RequestRow, Settlement};

/// The most settlements in one transaction; so many are worth one, too.
pub(super) const MOST: usize = 1_024;

/// Whether rows are safe.
pub(super) type Answer = Result<(), Unavailable>;

/// A settlement and who waits for it.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) settlement: Settlement,
    /// The journal's files that hold its lines.
    pub(super) held: SegmentRefs,
    /// Where an answer waits for the commit; none does for what the journal has.
    pub(super) done: Option<oneshot::Sender<Answer>>,
}

/// What the writer is asked to do.
#[derive(Debug)]
pub(super) enum Message {
    Settle(Vec<Job>),
    Flush(oneshot::Sender<()>),
    Close(oneshot::Sender<Answer>),
}

/// An attempt that a crash cut off, of a request whose row stands already.
#[derive(Clone, Debug)]
pub(super) struct Amendment {
    pub(super) request: RequestRow,
    pub(super) attempt: AttemptRow,
}
