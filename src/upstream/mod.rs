//! Providers: what each kind of them has, one call to one of them, and whose fault it is where that fails.

mod adapters;
mod address;
mod answer;
mod ask_health;
mod auth;
mod aws;
mod batch_api;
mod client;
mod connections;
mod failure;
mod http1;
mod http2;
mod in_flight;
mod in_process;
mod keys;
mod kinds;
mod lacking;
mod limits;
mod listing;
mod load;
mod place;
mod probe;
pub mod provider;
mod provider_client;
mod redaction;
mod seams;
mod sent;
mod server_health;
mod servers;
mod sigv4;
pub mod simulated;
mod tls;
mod vendor;
mod webhook;

#[cfg(test)]
mod deadlines;

#[cfg(any(test, fuzzing))]
pub(crate) use http1::checked;

pub use address::Operation;
pub use answer::Answer;
pub use batch_api::{
    BatchApi, BatchApiCall, LineOutcome, ListedBatch, ListedBatches, Order, Payload, RemoteBatch, RemoteState, id_of,
};
pub use client::{Client, NoAnswer, Reply};
pub use failure::{Failure, Phase};
pub use in_process::{CpuTime, InProcess, InProcessAnswer, InProcessCall, InProcessModels};
pub use kinds::KindRow;
pub use listing::ListedModel;
pub use load::ServerLoad;
pub use probe::{Probe, Probed};
pub use provider::{Aws, AwsCredentials, Kind, Provider, Server, Timeouts};
pub use provider_client::{BadAddress, Call, ProviderClient, work_as};
pub use redaction::ProviderKeys;
pub use server_health::{REPORT_COUNTS, ServerHealth};
pub use servers::ServerRow;
pub use vendor::{VENDORS, Vendor, vendor_at, vendor_named};
pub use webhook::{Webhook, WebhookSettings};
