//! `[experiments]`: how often the running ones are looked at.

use std::time::Duration;

use super::read::{Section, set};

/// `[experiments]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Experiments {
    /// How long it rests between two looks at least.
    pub look_every: Duration,
}

impl Default for Experiments {
    fn default() -> Self {
        Self { look_every: Duration::from_secs(10) }
    }
}

pub(super) fn experiments(root: &Section<'_>) -> Experiments {
    let mut experiments = Experiments::default();
    let Some(section) = root.section("experiments") else { return experiments };
    set(&mut experiments.look_every, section.get("look_every").and_then(|field| field.duration("50ms"..="1d")));
    section.done();
    experiments
}
