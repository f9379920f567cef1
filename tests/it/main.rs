//! Black-box tests: the real gateway, on a socket, before a scripted upstream.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on must fail")]
#![expect(clippy::disallowed_methods, reason = "a test has callers and servers of its own, and ends with them")]

mod admin;
mod agents;
mod app;
mod batches;
mod bedrock;
mod binary;
mod bytes;
mod cache;
mod callers;
mod capabilities;
mod client;
mod crash;
mod crossing;
mod demo;
mod dialects;
mod embeddings;
mod errors;
mod failing;
mod faults;
mod fidelity;
mod fields;
mod first_hour;
mod frames;
mod hardship;
mod hints;
mod idempotency;
mod keys;
mod limits;
mod lists;
mod llamacpp;
mod money;
mod native_batches;
mod others;
mod passing;
mod peers;
mod process;
mod prompt_commands;
mod prompts;
mod proofs;
mod redaction;
mod refusals;
mod regressions;
mod repair;
mod reports;
mod retries;
mod routing;
mod sdks;
mod stored_texts;
mod streams;
mod structured;
mod tls;
mod tokens;
mod upstream;
