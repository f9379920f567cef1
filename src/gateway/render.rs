//! Renders a prompt into the request that names it.

use serde_json::Map;

use super::resolve::Resolved;
use crate::chat::Error;
use crate::wire::dialect::Asked;
use crate::wire::endpoint::Endpoint;
use crate::wire::openai_chat;

/// The request as its prompt makes it: the prompt's messages first, then its own; its own fields win over the settings.
///
/// # Errors
/// Where variables are missing or wrong, or the caller's dialect has no words for the prompt.
pub fn render(resolved: &Resolved, asked: &Asked, endpoint: Endpoint) -> Result<Asked, Error> {
    let Resolved { version, model, .. } = resolved;
    let none = Map::new();
    let variables = asked.prompt.as_ref().map_or(&none, |prompt| &prompt.variables);
    let prompt = openai_chat::prompt(version.render(variables)?, version.settings(), model)?;
    endpoint.dialect().codec().prompted(asked, prompt)
}

#[cfg(test)]
mod tests;
