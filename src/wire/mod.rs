//! The wire formats: pure, bytes to meaning and back.

pub mod dialect;
pub mod gemini;
pub mod json;
pub mod openai_chat;
pub mod openai_embeddings;
pub mod sse;
