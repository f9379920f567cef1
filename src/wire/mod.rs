//! The wire formats: pure, bytes to meaning and back.

pub mod dialect;
pub mod json;
pub mod openai_chat;
pub mod openai_embeddings;
pub mod openai_responses;
pub mod sse;
