//! What is known of each model by its name, whoever serves it: how it thinks, what it takes of sampling, which fields it has.
//! `docs/guides/dialects.md` has the same as a table, with the page of each vendor that says so.

mod claude;
mod family;
mod google;
mod name;
mod openai;
mod other;

#[cfg(test)]
mod tests;

pub use family::{Capabilities, LateSystem, Schemas, Thinking, UNKNOWN, effort_of, nearest};

use crate::chat::Request;

impl Capabilities {
    /// What is known of the model of a request.
    #[must_use]
    pub fn of(request: &Request) -> &'static Self {
        Self::named(request.base_model.as_deref().unwrap_or(&request.model))
    }

    /// What is known of the model of this name.
    #[must_use]
    pub fn named(model: &str) -> &'static Self {
        let model = model.to_ascii_lowercase();
        claude::find(&model)
            .or_else(|| google::find(&model))
            .or_else(|| openai::find(&model))
            .or_else(|| other::find(&model))
            .unwrap_or(&UNKNOWN)
    }
}
