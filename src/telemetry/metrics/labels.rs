//! Labels of metrics, and how many of each there may be: callers may name any model, and a label stays for the life of the
//! process.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use prometheus_client::encoding::EncodeLabelSet;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) endpoint: &'static str,
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) project: Arc<str>,
    pub(super) status: &'static str,
    pub(super) error: &'static str,
    pub(super) cache: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct AttemptLabels {
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TokenLabels {
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) project: Arc<str>,
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct HedgeLabels {
    pub(super) route: Arc<str>,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct CostLabels {
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) project: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TimeLabels {
    pub(super) endpoint: &'static str,
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EndpointLabels {
    pub(super) endpoint: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct LineLabels {
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OwnLabels {
    pub(super) purpose: &'static str,
    pub(super) result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ProviderLabels {
    pub(super) provider: Arc<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct TargetLabels {
    pub(super) provider: Arc<str>,
    pub(super) model: Arc<str>,
    pub(super) scope: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct FileLabels {
    pub(super) file: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PurposeLabels {
    pub(super) purpose: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct DifferenceLabels {
    pub(super) difference: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct BuildLabels {
    pub(super) version: &'static str,
    pub(super) commit: &'static str,
}

/// The label of names beyond the first [`Names::MOST`].
pub(super) const OTHER: &str = "other";

/// The names that have labels of their own: all that a configuration has, and the first that others use.
#[derive(Debug, Default)]
pub(super) struct Names(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Those that a configuration names, which callers cannot use up.
    configured: HashSet<Arc<str>>,
    named: HashSet<Arc<str>>,
}

impl Names {
    pub(super) const MOST: usize = 500;

    /// Keeps labels free for these names, whatever callers use.
    pub(super) fn configure(&self, names: impl IntoIterator<Item = Arc<str>>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).configured.extend(names);
    }

    /// Whether a configuration has this name.
    pub(super) fn is_configured(&self, name: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).configured.contains(name)
    }

    /// The label for `name`: its own, or [`OTHER`] where callers have used many already.
    pub(super) fn label(&self, name: Arc<str>) -> Arc<str> {
        let is_known = |known: &Known| known.configured.contains(&name) || known.named.contains(&name);
        if is_known(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return name;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if is_known(&known) {
            return name;
        }
        if known.named.len() >= Self::MOST {
            return OTHER.into();
        }
        known.named.insert(name.clone());
        name
    }
}
