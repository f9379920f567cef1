//! What a translation for a server that merely speaks OpenAI's dialect must not say: roles and fields that only OpenAI has.

use crate::chat::{Content, Emulated, Message, Request, Role};
use crate::upstream::Provider;
use crate::wire::{DialectId, ProviderDialect};

/// How many letters an id has at a vendor with short ones.
const SHORT: usize = 9;

/// Puts a request into words that `provider` knows.
pub fn fit(request: &mut Request, provider: &Provider, dialect: ProviderDialect, emulated: &mut Emulated) {
    let openais = [DialectId::OpenAiChat, DialectId::OpenAiResponses].map(ProviderDialect::from);
    if !openais.contains(&dialect) || provider.is_openais_own() {
        return;
    }
    for message in request.messages.iter_mut().filter(|message| message.role == Role::Developer) {
        message.role = Role::System;
    }
    let Some(vendor) = provider.vendor.filter(|_| dialect == DialectId::OpenAiChat.into()) else { return };
    let lacked = vendor.lacks.iter().filter(|field| clear(request, field));
    lacked.for_each(|field| emulated.note(field));
    if vendor.short_ids {
        request.messages.iter_mut().for_each(|message| shorten(message, emulated));
    }
}

/// Takes a field out of a request; whether it was there.
fn clear(request: &mut Request, field: &str) -> bool {
    match field {
        "metadata" => !std::mem::take(&mut request.metadata).is_empty(),
        "parallel_tool_calls" => request.parallel_tools.take().is_some(),
        "prompt_cache_key" => request.prompt_cache_key.take().is_some(),
        "service_tier" => request.service_tier.take().is_some(),
        "store" => request.store.take().is_some(),
        "user" => request.user.take().is_some(),
        "verbosity" => request.verbosity.take().is_some(),
        _ => false,
    }
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
