//! What Fulcrum serves over HTTP: the data plane, the admin API, and what watches it.

mod activity;
pub mod admin;
mod arrival;
mod auth;
mod batches;
mod client;
mod cors;
mod data;
mod dispatch;
mod elsewhere;
mod error;
mod explain;
mod feedback;
mod files;
mod head_watch;
mod health;
mod key;
mod listed;
mod metrics_page;
mod models;
mod router;
mod server;
mod write_timeout;

pub use auth::Operator;
pub use error::Detail;
pub use metrics_page::serve_metrics;
pub use router::router;
pub use server::{Listening, serve, worker_count};
