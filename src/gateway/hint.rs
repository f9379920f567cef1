//! What helps behind an error of a request that names something unknown: the near names that its key may call, and where a
//! field belongs.

use bytes::Bytes;

use super::incoming::Incoming;
use super::request::Request;
use super::state::Live;
use crate::chat::{Code, Error};
use crate::keys::VirtualKey;
use crate::prompts::{Reference, Registry, model_name};
use crate::types::did_you_mean;
use crate::wire::json::Object;

/// What to do where a request leaves its model open and the default has no route.
const LISTED: &str = "put a `model` into it that GET /v1/models lists";

/// A model that no route takes and that has no name.
pub fn model(error: Error, live: &Live, incoming: &Incoming, request: &Request) -> Error {
    if error.code != Code::ModelNotFound {
        return error;
    }
    let wanted = &request.first().asked.model;
    if let Some(passing) = incoming.endpoint.passing()
        && passing.default_model() == Some(wanted)
    {
        let route = passing.route();
        return error.says(|message| {
            format!("{message}. A request to {route} that names no model asks for this one: {LISTED}")
        });
    }
    if live.routes.known(wanted).is_some() {
        return error;
    }
    let may_call = |name: &&str| incoming.key.may_call(name);
    let direct: Vec<String> = wanted.split_once('/').map_or_else(Vec::new, |(_, model)| {
        live.clients.keys().map(|provider| format!("{provider}/{model}")).collect()
    });
    let names = live.routes.models().iter().map(|name| &**name).chain(direct.iter().map(String::as_str));
    let near = did_you_mean(wanted, names.filter(may_call));
    error.says(|message| format!("{message}{near}"))
}

/// A prompt that there is not.
pub fn prompt(error: Error, prompts: &Registry, reference: &Reference, key: &VirtualKey) -> Error {
    if error.code == Code::PromptNotFound && prompts.now_called(&reference.name).is_some() {
        // The new name is told to those who could call the old one.
        return match key.may_call(&model_name(&reference.name)) {
            true => error,
            false => error.says(|_| format!("there is no prompt `{}`", reference.name)),
        };
    }
    let names: Vec<String> = match error.code {
        Code::PromptNotFound if prompts.get(&reference.name).is_err() => {
            prompts.names().iter().map(model_name).collect()
        }
        _ => return error,
    };
    let names = names.iter().map(String::as_str).filter(|name| key.may_call(name));
    let near = did_you_mean(&model_name(&reference.name), names);
    error.says(|message| format!("{message}{near}"))
}

/// Variables that a prompt lacks, while the body has some where they are not read.
pub fn variables(error: Error, body: &Bytes) -> Error {
    let misplaced = || Object::read(body.clone()).is_ok_and(|object| object.get("variables").is_some());
    if error.code == Code::InvalidVariables && misplaced() {
        return error
            .says(|message| format!("{message}; `variables` stand in `prompt`: {{\"prompt\": {{\"variables\": …}}}}"));
    }
    error
}
