//! Shared by OpenAI's APIs: errors, usage, strict schemas, tiers, custom tools, chunks of a stream.

mod bounds;
mod by_choice;
mod chunks;
mod custom;
mod error;
mod strict;
mod tier;
mod upload;
mod usage;

pub use bounds::{metadata, short};
pub use by_choice::of_all_choices;
pub use chunks::{DONE, StreamTap, pass, put_event};
pub use custom::{CUSTOM, arguments_of, custom_tool, input_of};
pub use error::{error_body, error_type, is_failure, kind_of};
pub use strict::keep_strict;
pub use tier::{is_tier, write_tier};
pub use upload::is_foreign;
pub use usage::{Sides, fees, read_usage, usage_at_groq};
