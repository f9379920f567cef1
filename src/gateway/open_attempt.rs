//! An attempt under way, and the row that it leaves when it has ended.

use std::time::Duration;

use tokio::time::Instant;

use super::price::Pricing;
use crate::chat::{Code, Used};
use crate::routing::NotAccepted;
use crate::types::Nanos;
use crate::usage::{AttemptRow, Status};

/// The code of an attempt that ended since the other target of a hedged call answered first.
const OUTRUN: &str = "hedge_lost";

/// An attempt under way.
#[derive(Clone)]
pub(super) struct OpenAttempt {
    pub(super) row: AttemptRow,
    /// When it was sent; `None` while its intent is being written.
    pub(super) began: Option<Instant>,
    /// How long after that its answer was whole, and what it used, where it is looked at before the attempt ends.
    pub(super) whole: Option<Box<(Duration, Used)>>,
    pub(super) pricing: Pricing,
    /// What it would be charged if it broke off now.
    pub(super) estimate: Used,
    /// Whether a byte of its answer came.
    pub(super) has_begun: bool,
    /// What it costs, where that is its share of a call for several callers.
    pub(super) share: Option<Nanos>,
}

/// How an attempt ended.
pub struct Ended {
    /// Its status.
    pub status: Status,
    /// The provider's HTTP status, if an answer came.
    pub http_status: Option<u16>,
    /// The error's code, or which check the answer did not pass.
    pub error: Option<&'static str>,
    /// Whether another try could do better.
    pub retryable: bool,
    /// What it used; `None` where it cost nothing.
    pub used: Option<Used>,
}

impl Ended {
    /// An answer that came whole and well.
    pub fn well(used: impl Into<Used>) -> Self {
        Self { status: Status::Ok, http_status: Some(200), error: None, retryable: false, used: Some(used.into()) }
    }

    /// An answer that came whole, but is not of the form that was asked for.
    pub fn invalid(used: Used) -> Self {
        Self::not_accepted(used, Code::InvalidOutput.text())
    }

    /// An answer that came whole, and did not pass the check that `code` names.
    pub fn not_accepted(used: Used, code: &'static str) -> Self {
        Self { status: Status::Error, error: Some(code), retryable: true, ..Self::well(used) }
    }

    /// An attempt whose answer another target's was before.
    pub fn outrun(used: Option<Used>) -> Self {
        Self { status: Status::ClientClosed, http_status: None, error: Some(OUTRUN), retryable: false, used }
    }

    /// An answer that a filter of its provider's ended.
    pub fn filtered(used: Option<Used>) -> Self {
        let error = Some(Code::ContentFilter.text());
        Self { status: Status::Error, http_status: Some(200), error, retryable: true, used }
    }

    /// An attempt of the gateway's own that it cut off itself: what it cost nobody knows, so all counts that was reserved.
    pub fn cut_off(reserved: Used) -> Self {
        let error = Some(Code::Overloaded.text());
        Self { status: Status::Unknown, http_status: None, error, retryable: false, used: Some(reserved) }
    }

    /// An attempt that broke off because nobody waits for it any more, or its task panicked.
    pub(super) fn dropped(used: Option<Used>) -> Self {
        let (status, code) = dropped();
        Self { status, http_status: None, error: Some(code.text()), retryable: false, used }
    }
}

impl OpenAttempt {
    /// What it would be charged if it broke off now: nothing where not a byte of its answer came.
    pub(super) fn charged(&self) -> Option<Used> {
        self.has_begun.then_some(self.estimate)
    }

    /// Its row as of now where its answer is whole, though it is still looked at.
    pub(super) fn row_if_whole(&self) -> Option<AttemptRow> {
        let (_, used) = **self.whole.as_ref()?;
        Some(self.clone().row_ended(&Ended::well(used), Instant::now()))
    }

    /// Its row, as it ended `at` that time.
    pub(super) fn row_ended(self, ended: &Ended, at: Instant) -> AttemptRow {
        let Self { mut row, began, whole, pricing, estimate, share, .. } = self;
        let whole_after = whole.map(|whole| whole.0);
        let took = whole_after.or_else(|| began.map(|began| at.saturating_duration_since(began)));
        row.latency_us = micros(took.unwrap_or_default());
        row.status = ended.status;
        row.http_status = ended.http_status;
        row.error_code = ended.error.map(Into::into);
        row.retryable = ended.retryable;
        let used = ended.used.map(|used| pricing.in_tier_of(estimate, used));
        row.usage = used.and_then(|used| used.usage);
        match &used {
            Some(used) => {
                (row.cost, row.rate) = pricing.charge(used);
                row.cost = share.or(row.cost);
            }
            None => row.cost = Some(Nanos(0)),
        }
        row
    }
}

/// Whether an attempt brought an answer that the caller does not get: not of the form asked for, not accepted, ended by a filter,
/// or too late.
pub(super) fn is_unused(attempt: &AttemptRow) -> bool {
    let code = attempt.error_code.as_deref();
    let unused = [Code::InvalidOutput.text(), Code::ContentFilter.text(), OUTRUN];
    code.is_some_and(|code| unused.contains(&code) || NotAccepted::is_code(code))
}

/// How a call ends that is dropped.
pub(super) fn dropped() -> (Status, Code) {
    match std::thread::panicking() {
        true => (Status::Error, Code::Internal),
        false => (Status::ClientClosed, Code::ClientClosed),
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
