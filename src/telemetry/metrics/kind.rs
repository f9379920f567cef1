//! What the things that are counted have in common, by which their counters are found in one look-up that copies nothing.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// A kind of requests or attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Kind<'a> {
    /// Provider, model and project; empty where there is none.
    pub(super) names: [&'a str; 3],
    /// What else tells kinds apart: words of ours.
    pub(super) words: [&'static str; 4],
}

/// A kind that a map holds.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    names: [Box<str>; 3],
    words: [&'static str; 4],
}

/// What [`Kind`] and [`Stored`] are looked up as.
pub(super) trait Kinded {
    fn kind(&self) -> Kind<'_>;
}

impl Kinded for Kind<'_> {
    fn kind(&self) -> Kind<'_> {
        *self
    }
}

impl Kinded for Stored {
    fn kind(&self) -> Kind<'_> {
        let [provider, model, project] = &self.names;
        Kind { names: [provider, model, project], words: self.words }
    }
}

impl From<Kind<'_>> for Stored {
    fn from(Kind { names, words }: Kind<'_>) -> Self {
        Self { names: names.map(Into::into), words }
    }
}

impl<'a> Borrow<dyn Kinded + 'a> for Stored {
    fn borrow(&self) -> &(dyn Kinded + 'a) {
        self
    }
}

impl Hash for dyn Kinded + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
    }
}

impl PartialEq for dyn Kinded + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind()
    }
}

impl Eq for dyn Kinded + '_ {}

impl Hash for Stored {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind().hash(state);
    }
}

impl PartialEq for Stored {
    fn eq(&self, other: &Self) -> bool {
        self.kind() == other.kind()
    }
}

impl Eq for Stored {}
