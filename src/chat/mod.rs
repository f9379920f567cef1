//! The internal form: requests, answers, streams, usage and errors, in no provider's API.

mod answer_tool;
mod call_ids;
mod carried;
mod embed;
mod emulated;
mod error;
mod marking;
mod message;
mod proof;
mod request;
mod response;
mod results;
mod thought;
mod tool_names;
mod undo;
mod unit_vector;
mod usage;

pub use answer_tool::{AnswerTool, Structured, Unwrapping};
pub use call_ids::{CallIds, id_by_place};
pub use carried::ProofPlaces;
pub use embed::{Embed, Vectors};
pub use emulated::Emulated;
pub use error::{Code, Error};
pub use marking::Marking;
pub use message::{CacheTtl, Citation, Content, Message, Part, PromptMessage, Role, Source, Unit};
pub use proof::{MadeBy, Maker, SEEN, sort_proofs};
pub use request::{Effort, Format, Reasoning, Request, Sampling, Tool, ToolChoice};
pub use response::{Choice, Collector, Delta, Event, Response, Stop};
pub use results::order_results;
pub use thought::{ThoughtField, ThoughtPlace, without_place};
pub use tool_names::{NameRule, ToolNames};
pub use undo::Undo;
pub use unit_vector::{UnitVector, dot};
pub use usage::{Service, Tier, Units, Usage, Used};
