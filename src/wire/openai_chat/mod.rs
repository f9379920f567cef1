//! OpenAI Chat Completions: requests, answers, streams, errors, and the replay of one form as the other.

mod answer;
mod error;
mod fields;
mod replay;
mod request;
mod stream;
mod usage;

pub use answer::listen;
pub use error::{error_body, error_event};
pub use fields::{Check, Field, check_fields};
pub use replay::{BadReplay, as_stream, as_whole};
pub use request::{estimate_tokens, has_images, last_user_text, read, read_prompt};
pub use stream::Listener;
pub use usage::read_usage;

/// The data of the event that ends a stream.
pub const DONE: &[u8] = b"[DONE]";
