//! OpenAI Chat Completions: requests, answers, streams, errors, and the replay of one form as the other.

mod answer;
mod by_choice;
mod dialect;
mod error;
mod fault;
mod message_reader;
mod message_writer;
mod piece;
mod replay;
mod request;
mod request_reader;
mod request_writer;
mod response_reader;
mod response_writer;
mod stop;
mod stream;
mod stream_reader;
mod stream_writer;
#[cfg(test)]
mod tests;
mod usage;

pub use crate::wire::fields::{Check, Field, check_fields};
pub use answer::observe;
pub use by_choice::of_all_choices;
pub use dialect::OpenAiChat;
pub use error::{error_body, error_event};
pub(in crate::wire) use message_writer::is_foreign;
pub use replay::{BadReplay, as_stream, as_whole};
pub(in crate::wire) use request::read_prompt;
pub use request::{has_images, last_user_text, read};
pub use stream::StreamTap;
pub use usage::read_usage;

/// The data of the event that ends a stream.
pub const DONE: &[u8] = b"[DONE]";

/// The dialect's name in messages.
const NAME: &str = "OpenAI Chat Completions";
