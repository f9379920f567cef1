//! The internal form: messages, usage and errors, in nobody's API.

mod error;
mod message;
mod usage;

pub use error::{Code, Error};
pub use message::{Message, Role};
pub use usage::Usage;
