//! The key phase: whether a key may call what a request names.

use super::resolve::Resolved;
use crate::chat::{Code, Error};
use crate::keys::VirtualKey;
use crate::prompts::halves;

/// Checks that `key` may call the name `requested`, or a prompt whose model it lists.
///
/// # Errors
/// `model_not_allowed`.
pub fn check_key(key: &VirtualKey, requested: &str, prompt: Option<&Resolved>) -> Result<(), Error> {
    let (bare, _) = halves(requested);
    if key.may_call(requested) || key.may_call(bare) || prompt.is_some_and(|resolved| key.may_call(&resolved.model)) {
        return Ok(());
    }
    let name: String = requested.chars().take(200).collect();
    Err(Error::new(Code::ModelNotAllowed, format!("this key may not call `{name}`")).at("model"))
}
