//! The journal: what the database may not have yet lies in files beside it.

pub(super) mod found;
mod legacy;
mod record;
pub(super) mod recover;
pub(super) mod segment;
pub(super) mod slots;
pub(super) mod tick;

#[cfg(any(test, fuzzing))]
pub(crate) use record::checked;
pub use segment::SegmentRefs;
