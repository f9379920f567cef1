//! How the answer of a cascade's target is looked at.

use std::sync::Arc;

use super::rendering::Rendering;
use crate::routing::Accept;

/// How the answer of a target is looked at.
pub struct Check<'a> {
    /// What the answer must be.
    pub accept: &'a Accept,
    /// What goes out: the request for a whole answer, with log-probabilities where they are looked at.
    pub rendering: Arc<Rendering>,
    /// Whether the gateway alone wants these.
    pub asks_logprobs: bool,
}
