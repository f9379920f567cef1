//! What a route has beside its targets: a file a feature.

mod causes;
mod shadow;

pub(super) use causes::causes;
pub(super) use shadow::shadow;
