//! What a translation for a server that merely speaks OpenAI's dialect must not say: roles and fields that only OpenAI has.

use std::borrow::Cow;

use crate::chat::{Content, Emulated, Error, Message, Request, Role};
use crate::routing::Target;
use crate::upstream::{Provider, ProviderClient, Vendor};
use crate::wire::dialect::Asked;
use crate::wire::json::{Edits, items};
use crate::wire::prompt::Brought;
use crate::wire::{DialectId, ProviderDialect, anthropic, openai_chat};

/// How many letters an id has at a vendor with short ones.
const SHORT: usize = 9;

/// Puts a request into words that `provider` knows.
pub fn fit(request: &mut Request, provider: &Provider, dialect: ProviderDialect, emulated: &mut Emulated) {
    let openais = [DialectId::OpenAiChat, DialectId::OpenAiResponses].map(ProviderDialect::from);
    if !openais.contains(&dialect) || provider.is_openais_own() {
        return;
    }
    // Servers that are known to be another's do not have the choice `allowed_tools`.
    let is_anothers = provider.vendor.is_some() || provider.server.row().has_own_address;
    if is_anothers && let Some(allowed) = request.with_allowed_only(emulated) {
        *request = allowed;
    }
    for message in request.messages.iter_mut().filter(|message| message.role == Role::Developer) {
        message.role = Role::System;
    }
    let Some(vendor) = provider.vendor.filter(|_| dialect == DialectId::OpenAiChat.into()) else { return };
    let lacked = vendor.lacks.iter().filter(|field| request.clear(field));
    lacked.for_each(|field| emulated.note(field));
    if vendor.short_ids {
        request.messages.iter_mut().for_each(|message| shorten(message, emulated));
    }
}

/// Fields that only OpenAI has, which a translation never writes.
const OPENAIS: [&str; 3] = ["prompt_cache_options", "prompt_cache_retention", "safety_identifier"];

/// The two names of one field: the older one, and the one that OpenAI's models which think take.
const LIMITS: [&str; 2] = ["max_tokens", "max_completion_tokens"];

/// Puts what a prompt brought to a request, which a target gets in its caller's own dialect, into words that the target knows.
/// What the caller said stays as it came.
///
/// # Errors
/// Where the request would be larger than one may be.
pub fn fit_brought<'a>(
    (asked, brought): (&'a Asked, &Brought),
    (client, target): (&ProviderClient, &Target),
    dialect: ProviderDialect,
    emulated: &mut Emulated,
) -> Result<Cow<'a, Asked>, Error> {
    brought.noted.iter().for_each(|name| emulated.note(name));
    let (provider, model) = (client.provider(), target.base_model.as_deref().unwrap_or(&target.model));
    let mut edits = Edits::default();
    let list = if dialect == DialectId::OpenAiResponses.into() { "input" } else { "messages" };
    if let Some(turns) = asked.object.get(list).filter(|_| !brought.special.is_empty()) {
        if dialect == DialectId::Anthropic.into() {
            let misplaced = anthropic::misplaced_systems(turns, &brought.special, model);
            if !misplaced.is_empty() {
                emulated.note("system_position");
                edits.set(list, with_roles(turns, &misplaced, ("system", "user")));
            }
        } else if !provider.is_openais_own() {
            edits.set(list, with_roles(turns, &brought.special, ("developer", "system")));
        }
    }
    let limit = openai_chat::limit_field(model);
    let limit = match provider.is_openais_own() {
        // OpenAI takes the newer name for every model.
        true => limit.filter(|limit| *limit != LIMITS[0]),
        false => limit.or(Some(LIMITS[0])),
    };
    let vendor = provider.vendor.filter(|_| !provider.is_openais_own());
    for name in &brought.fields {
        let lacks = |vendor: &&Vendor| OPENAIS.iter().chain(vendor.lacks).find(|lacked| *lacked == name);
        if let Some(lacked) = vendor.as_ref().and_then(lacks) {
            edits.remove(name);
            emulated.note(lacked);
        }
        let renamed = limit.filter(|limit| LIMITS.contains(&name.as_str()) && limit != name);
        if let (Some(limit), Some(json)) = (renamed, asked.object.get(name)) {
            edits.remove(name);
            edits.set(limit, json.to_owned());
        }
    }
    if edits.is_empty() {
        return Ok(Cow::Borrowed(asked));
    }
    Ok(Cow::Owned(Asked { object: asked.object.with(&edits)?, ..asked.clone() }))
}

/// The field for the most tokens to write that a target takes which speaks OpenAI's chat.
pub fn limit_name(client: &ProviderClient, target: &Target) -> &'static str {
    let model = target.base_model.as_deref().unwrap_or(&target.model);
    let known = openai_chat::limit_field(model);
    known.unwrap_or(if client.provider().is_openais_own() { LIMITS[1] } else { LIMITS[0] })
}

/// A list of turns of which these, as a prompt's writer writes them, have another role.
fn with_roles(turns: &str, places: &[usize], (from, to): (&str, &str)) -> String {
    let role = |name: &str| format!("\"role\":\"{name}\"");
    let mut list = String::with_capacity(turns.len());
    list.push('[');
    for (n, turn) in items(turns).enumerate() {
        list.push_str(if n > 0 { "," } else { "" });
        match places.contains(&n) {
            true => list.push_str(&turn.replacen(&role(from), &role(to), 1)),
            false => list.push_str(turn),
        }
    }
    list.push(']');
    list
}

/// Replaces ids that do not fit, each by the same one everywhere.
fn shorten(message: &mut Message, emulated: &mut Emulated) {
    for part in &mut message.parts {
        let (Content::ToolCall { id, .. } | Content::ToolResult { id, .. }) = &mut part.content else { continue };
        if id.len() == SHORT && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            continue;
        }
        emulated.note("tool_call_id");
        let hash = blake3::hash(id.as_bytes()).to_hex();
        *id = hash.as_str().chars().take(SHORT).collect();
    }
}
