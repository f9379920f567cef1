//! The simulated provider: an OpenAI-compatible server without a network or a model.
//!
//! The same request gets the same answer, in text, usage and latency; what differs in white space or in the order of
//! fields is the same request. Pace and faults are chosen by parts of the model's name or by the provider's profile
//! (`traits`). Every answer says that it is simulated: `x-simulated: true`, an id that begins with
//! `chatcmpl-sim-`, the fingerprint `fp_simulated`.

mod answer;
mod ask;
mod body;
mod chat;
mod dice;
mod embeddings;
mod fault;
mod media;
mod passing;
mod pattern;
mod prose;
mod provider;
mod refusal;
mod schema;
mod server;
mod tokens;
mod tools;
mod traits;
mod words;
mod write;

pub use answer::Simulated;
pub use body::{Body, Cut, Piece};
pub use provider::SimulatedProvider;
pub use server::{MODELS, answer, answer_form};

#[cfg(test)]
mod tests;
