//! Texts compared by their meaning, for rules that name examples and for the cache: one embedding model, and what is known by it.

mod embedder;
mod expected;
mod judge;
mod judged;
mod judging;
mod known;
mod meant;
mod resemble;
mod verify;

pub use embedder::Embedder;
pub use judge::Judge;
pub use judged::Judged;
pub use judging::judged;
pub use known::Meaning;
pub use meant::Meant;
pub use resemble::Compared;
pub use verify::draw as draw_verification;
