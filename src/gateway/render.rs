//! Renders what is chosen of a prompt into the request that names it.

use serde_json::{Map, Value, json};

use super::resolve::Choice;
use crate::chat::Error;
use crate::wire::DialectId;
use crate::wire::dialect::{Addressed, Asked, ClientCodec};
use crate::wire::endpoint::Endpoint;
use crate::wire::exact_numbers;
use crate::wire::openai_chat;
use crate::wire::prompt::Prompted;

/// The caller's request as its prompt makes it, for `model`: the prompt's messages first, then its own; its own fields win over
/// the settings.
///
/// # Errors
/// Where variables are missing or wrong, or the caller's dialect has no words for the prompt's messages.
pub fn render(choice: &Choice, model: &str, caller: &Asked, endpoint: Endpoint) -> Result<Prompted, Error> {
    let none = Map::new();
    let variables = caller.prompt.as_ref().map_or(&none, |prompt| &prompt.variables);
    let prompt = openai_chat::prompt(choice.version.render(variables)?, choice.settings(), model)?;
    let codec = endpoint.dialect().codec();
    if endpoint.dialect() == DialectId::OpenAiChat {
        return codec.prompted(caller, prompt);
    }
    codec.prompted(caller, prompt.in_words_of(Box::new(|given| check_given(given, codec))))
}

/// Checks messages that the caller gave as a variable, as a conversation of their own.
fn check_given(given: &[Value], codec: &dyn ClientCodec) -> Result<(), Error> {
    let body = match codec.conversation() {
        list @ "contents" => json!({ list: given }),
        list @ "messages" => json!({"model": "m", "max_tokens": 1, list: given}),
        list => json!({"model": "m", list: given}),
    };
    let addressed = Addressed { model: Some("m".to_owned()), stream: false };
    codec.read(exact_numbers::write(&body).into(), &addressed).map(drop)
}

#[cfg(test)]
mod tests;
