//! What a plan may read beside the rules' facts: asked for by routes whose strategy needs it, and worked out by the gateway then.

use super::sessions::Sessions;
use super::signals::Signals;
use super::target::Target;
use crate::types::Nanos;

/// Figures of targets, and of the call that is planned.
#[derive(Clone, Copy)]
pub struct Figures<'a> {
    /// What is measured of targets.
    pub signals: &'a Signals,
    /// The targets that sessions are bound to.
    pub sessions: &'a Sessions,
    /// What the call is expected to use and to cost at a target.
    pub cost: &'a (dyn Fn(&Target) -> Expected + Sync),
    /// How busy a target's provider is.
    pub load: &'a (dyn Fn(&Target) -> Load + Sync),
    /// A hash of the beginning of the prompt that calls of its kind share.
    pub prefix: &'a (dyn Fn() -> u64 + Sync),
}

/// What a call is expected to use and to cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Tokens read.
    pub input: u64,
    /// Tokens written.
    pub output: u64,
    /// The cost; `None` where no price is known.
    pub cost: Option<Nanos>,
}

/// How busy a provider is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Calls of this gateway that are under way.
    pub in_flight: usize,
    /// The most of them at once.
    pub most: usize,
    /// Calls of others that its server runs and holds back, where that server reported them lately.
    pub others: Option<usize>,
}

impl Load {
    /// The part of the provider's places that is taken. More than 1 where others have calls there.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "counts of calls are small")]
    pub fn ratio(&self) -> f64 {
        (self.in_flight + self.others.unwrap_or(0)) as f64 / self.most.max(1) as f64
    }
}
