//! Black-box tests: the real gateway, on a socket, before a scripted upstream.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must fail")]

mod admin;
mod app;
mod batches;
mod binary;
mod bytes;
mod cache;
mod callers;
mod client;
mod crash;
mod dialects;
mod embeddings;
mod errors;
mod faults;
mod fields;
mod hardship;
mod idempotency;
mod keys;
mod limits;
mod native_batches;
mod process;
mod prompts;
mod retries;
mod routing;
mod streams;
mod tls;
mod upstream;
