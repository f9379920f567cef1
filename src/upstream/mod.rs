//! The only HTTP client: one call to one provider, and whose fault it is where it fails.

mod address;
mod answer;
mod aws;
mod client;
mod connections;
mod errand;
mod failure;
mod http1;
pub mod provider;
mod provider_client;
mod sigv4;
pub mod simulated;
mod tls;
mod vendor;

#[cfg(any(test, fuzzing))]
pub(crate) use http1::checked;

pub use address::Operation;
pub use answer::Answer;
pub use client::{Client, ask, client};
pub use errand::{Errand, Load};
pub use failure::{Failure, Phase};
pub use provider::{Aws, AwsCredentials, Kind, Provider, Server, Timeouts};
pub use provider_client::{BadAddress, Call, ProviderClient, work_as};
pub use vendor::{VENDORS, Vendor, vendor_at, vendor_named};
