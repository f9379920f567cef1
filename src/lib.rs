//! Fulcrum: one binary between applications and language models.
//!
//! Modules stand in rows; a module uses only rows above it. `tests/tidy.rs` keeps that,
//! and `ARCHITECTURE.md` says why.

pub mod types;

pub mod chat;
pub mod stats;

pub mod db;
mod pool;
mod telemetry;
pub mod template;
pub mod wire;

pub mod upstream;

pub mod batches;
pub mod cache;
pub mod datasets;
pub mod experiments;
pub mod feedback;
mod idempotency;
mod keys;
pub mod prompts;
pub mod routing;
pub mod usage;

pub mod gateway;

mod jobs;

pub mod config;

pub mod app;

pub mod http;

pub mod cli;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
