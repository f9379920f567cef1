//! The only HTTP client: one call to one provider, and whose fault it is where it fails.

pub mod provider;
pub mod simulated;

pub use provider::{Kind, Provider, Server, Timeouts};
