//! Batches in the hands of providers' own batch APIs.

mod collect;
mod follow;
mod lookup;
mod plan;

pub(super) use follow::follow;
pub(super) use plan::hand_over;
