//! The key phase: whether a key may call what a request names.

use super::resolve::Resolved;
use crate::chat::{Code, Error};
use crate::keys::VirtualKey;
use crate::prompts::{Reference, model_name, names_prompt};

/// Checks that `key` may call the name `model`, which is what will be called: it is compared as a whole, since an `@` in a
/// provider's name for a model belongs to that name.
///
/// # Errors
/// `model_not_allowed`.
pub fn check_model(key: &VirtualKey, model: &str) -> Result<(), Error> {
    if key.may_call(model) { Ok(()) } else { Err(refused(model)) }
}

/// Checks that `key` may call a prompt: it lists the model that the request leads to, or, where the request names no other
/// model, the prompt, or the very version that the request leads to.
///
/// # Errors
/// `model_not_allowed`.
pub fn check_prompt(key: &VirtualKey, model: &str, reference: &Reference, resolved: &Resolved) -> Result<(), Error> {
    let names_none = model.is_empty() || names_prompt(model);
    if key.may_call(&resolved.model) || (names_none && may_call_by_name(key, reference)) {
        Ok(())
    } else {
        Err(refused(&resolved.requested))
    }
}

/// Whether `key` lists a prompt, or the very version or label of it that `reference` names.
pub fn may_call_by_name(key: &VirtualKey, reference: &Reference) -> bool {
    let name = model_name(&reference.name);
    key.may_call(&name) || key.may_call(&format!("{name}@{}", reference.selector.text()))
}

fn refused(name: &str) -> Error {
    let name: String = name.chars().take(200).collect();
    Error::new(Code::ModelNotAllowed, format!("this key may not call `{name}`")).at("model")
}
