//! Renders what is chosen of a prompt into the request that names it.

use serde_json::Map;

use super::resolve::Choice;
use crate::chat::Error;
use crate::wire::dialect::Asked;
use crate::wire::endpoint::Endpoint;
use crate::wire::openai_chat;

/// The caller's request as its prompt makes it, for `model`: the prompt's messages first, then its own; its own fields win over
/// the settings.
///
/// # Errors
/// Where variables are missing or wrong, or the caller's dialect has no words for the prompt.
pub fn render(choice: &Choice, model: &str, caller: &Asked, endpoint: Endpoint) -> Result<Asked, Error> {
    let Choice { version } = choice;
    let none = Map::new();
    let variables = caller.prompt.as_ref().map_or(&none, |prompt| &prompt.variables);
    let prompt = openai_chat::prompt(version.render(variables)?, version.settings(), model)?;
    endpoint.dialect().codec().prompted(caller, prompt)
}

#[cfg(test)]
mod tests;
