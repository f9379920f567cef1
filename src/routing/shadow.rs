//! A candidate that gets a share of a route's calls, off their callers' path.

use std::sync::Arc;

use serde_json::{Value, json};

use super::compile::Compile;
use super::spec::{RouteSpec, Spanned};
use super::target::Target;
use crate::types::{Nanos, Share};

/// `shadow` of a route, as a configuration states it.
#[derive(Clone, Debug)]
pub struct ShadowSpec {
    /// The candidate.
    pub model: Spanned,
    /// The share of calls, 0 to 1.
    pub share: Share,
    /// The most that its calls may cost in a day of UTC.
    pub most_a_day: Nanos,
}

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

impl Compile {
    /// The shadow of a route.
    pub(super) fn shadow(&mut self, spec: &RouteSpec) -> Option<Arc<Shadow>> {
        let ShadowSpec { model, share, most_a_day } = spec.shadow.as_ref()?;
        let target = self.target(spec, model, format!("{}.shadow.model", spec.key))?;
        let (share, most_a_day) = (*share, *most_a_day);
        Some(Arc::new(Shadow { route: spec.name.text.as_str().into(), target, share, most_a_day }))
    }
}
