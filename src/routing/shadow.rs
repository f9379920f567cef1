//! A candidate that gets a share of a route's calls, off their callers' path.

use std::sync::Arc;

use serde_json::{Value, json};

use super::target::Target;
use crate::types::{Nanos, Share};

/// A candidate that gets a share of a route's calls.
#[derive(Debug, PartialEq, Eq)]
pub struct Shadow {
    /// The route.
    pub route: Arc<str>,
    /// The candidate.
    pub target: Arc<Target>,
    /// The share of calls, 0 to 1.
    pub share: Share,
    /// The most that its calls may cost in a day of UTC.
    pub most_a_day: Nanos,
}

impl Shadow {
    /// Whether a call is copied, whose dice (0 to 1) show this.
    #[must_use]
    pub fn takes(&self, dice: f64) -> bool {
        dice < self.share.number()
    }

    /// What `GET /routes` shows of it.
    pub(super) fn row(&self) -> Value {
        json!({"model": self.target.id, "share": self.share, "max_usd_per_day": self.most_a_day})
    }
}
