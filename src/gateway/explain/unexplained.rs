//! A request that cannot be explained, since its call would be refused.

use crate::chat::Error;
use crate::routing::Trace;

/// Why a request gets nothing.
#[derive(Debug)]
pub struct Unexplained {
    /// What the call itself would be refused with.
    pub error: Box<Error>,
    /// The rules with their results, where none takes the call; none of them for who may not see them.
    pub trace: Option<Box<Trace>>,
}

impl Unexplained {
    /// A call whom no plan was made for, with what its rules found.
    pub(super) fn with(error: Error, trace: Trace) -> Self {
        let trace = (!trace.rules.is_empty()).then(|| Box::new(trace));
        Self { error: Box::new(error), trace }
    }
}

impl From<Error> for Unexplained {
    fn from(error: Error) -> Self {
        Self { error: Box::new(error), trace: None }
    }
}
