//! The journal: what the database may not have yet lies in files beside it.

pub(super) mod found;
mod legacy;
mod record;
pub(super) mod recover;
pub(super) mod segment;
pub(super) mod slots;
pub(super) mod tick;

pub use segment::SegmentRefs;
