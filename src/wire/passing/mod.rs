//! OpenAI's other routes, which pass to a provider that has them: a table of their requests and answers. Nothing is translated.

mod answer;
mod route;
mod stream;

pub use answer::{Medium, Observed};
pub use route::{Passing, unsupported};
