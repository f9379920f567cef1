//! OpenAI's other routes, which pass to a provider that has them: a table of what each takes and gives. Nothing is translated.

mod answer;
mod route;
mod stream;

pub use answer::{Given, Observed};
pub use route::{Passing, unsupported};
