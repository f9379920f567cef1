//! Renders what is chosen of a prompt into the request that names it.

use serde_json::{Map, Value, json};

use super::resolve::Choice;
use crate::chat::{Emulated, Error, Message};
use crate::wire::DialectId;
use crate::wire::dialect::{Addressed, Asked, ClientCodec};
use crate::wire::endpoint::Endpoint;
use crate::wire::exact_numbers;
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
    let codec = endpoint.dialect().codec();
    if endpoint.dialect() == DialectId::OpenAiChat {
        return codec.prompted(caller, prompt);
    }
    codec.prompted(caller, prompt.in_words_of(Box::new(|given| read_given(given, codec))))
}

/// Messages that the caller gave as a variable, read as a conversation of their own.
fn read_given(given: &[Value], codec: &dyn ClientCodec) -> Result<Vec<Message>, Error> {
    if given.is_empty() {
        return Ok(Vec::new());
    }
    let body = match codec.conversation() {
        list @ "contents" => json!({ list: given }),
        list @ "messages" => json!({"model": "m", "max_tokens": 1, list: given}),
        list => json!({"model": "m", list: given}),
    };
    let addressed = Addressed { model: Some("m".to_owned()), stream: false };
    let asked = codec.read(exact_numbers::write(&body).into(), &addressed)?;
    Ok(codec.read_request(&asked, &mut Emulated::default())?.messages)
}

#[cfg(test)]
mod tests;
