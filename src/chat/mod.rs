//! The internal form: requests, answers, streams, usage and errors, in no provider's API.

mod answer_tool;
mod embed;
mod emulated;
mod error;
mod message;
mod proof;
mod request;
mod response;
mod usage;

pub use answer_tool::{AnswerTool, Structured, Unwrapping};
pub use embed::{Embed, Vectors};
pub use emulated::Emulated;
pub use error::{Code, Error};
pub use message::{CacheTtl, Citation, Content, Message, Part, PromptMessage, Role, Source, Unit};
pub use proof::{Maker, Marking, SEEN, sort_proofs};
pub use request::{Effort, Format, Reasoning, Request, Sampling, Tool, ToolChoice};
pub use response::{Choice, Collector, Delta, Event, Response, Stop};
pub use usage::{Service, Tier, Units, Usage, Used};
