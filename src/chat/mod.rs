//! The internal form: requests, answers, streams, usage and errors, in nobody's API.

mod embed;
mod emulated;
mod error;
mod message;
mod request;
mod response;
mod usage;

pub use embed::{Embed, Vectors};
pub use emulated::Emulated;
pub use error::{Code, Error};
pub use message::{CacheTtl, Citation, Content, Message, Part, PromptMessage, Role, Source, Unit};
pub use request::{Effort, Format, Reasoning, Request, Sampling, Tool, ToolChoice};
pub use response::{Choice, Collector, Delta, Event, Response, Stop};
pub use usage::{Units, Usage, Used};
