//! Which build this is.

/// The version, and in brackets the commit and its day, as far as they were known to the build.
pub const VERSION: &str = env!("FULCRUM_VERSION");
