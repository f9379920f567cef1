//! What the cache has to do with a call, and what the key of its answer is made of.

use std::sync::Arc;

use serde::Serialize;

use crate::cache::Scope;
use crate::gateway::cache_key::NOT_KEYED;
use crate::gateway::planned::Planned;
use crate::routing::{CacheMode, Target};
use crate::types::now;

#[derive(Serialize)]
pub(super) struct CacheShown {
    mode: CacheMode,
    key: Option<String>,
    /// What the key is made of; nothing where there is none.
    of: Option<KeyParts>,
    stored: bool,
    ttl_seconds: u64,
}

/// What two calls must have in common for one answer.
#[derive(Serialize)]
struct KeyParts {
    /// Who may share an answer: a project or a key.
    scope: &'static str,
    target: Arc<str>,
    prompt: Option<String>,
    /// The fields of the rendered request whose values count.
    fields: Vec<String>,
    /// Whether calls of other dialects that ask the same have the same key.
    shared_by_dialects: bool,
}

impl CacheShown {
    pub(super) fn of(call: &Planned) -> Self {
        let policy = call.plan.cache;
        let target = call.plan.targets.first().filter(|_| policy.mode != CacheMode::Off);
        let keys = target.map(|target| call.keys(target));
        let key = keys.map(|keys| keys.first());
        let stored = key.is_some_and(|key| call.parts.cache.get(&key, now(), None).is_some());
        let of = target.zip(keys).map(|(target, keys)| KeyParts::of(call, target, keys.question.is_some()));
        let (mode, ttl_seconds) = (policy.mode, policy.ttl.as_secs());
        Self { mode, key: key.map(|key| key.to_string()), of, stored, ttl_seconds }
    }
}

impl KeyParts {
    fn of(call: &Planned, target: &Target, shared_by_dialects: bool) -> Self {
        let scope = match call.scope() {
            Scope::Project(_) => "project",
            Scope::Key(_) => "key",
        };
        let prompt = call.request.prompt();
        let prompt = prompt.map(|applied| format!("{}@{}", applied.version.name, applied.version.version));
        let rendering = call.rendering(Some(target));
        let fields = rendering.object().iter().map(|(name, _)| name).filter(|name| !NOT_KEYED.contains(name));
        let fields = fields.map(ToOwned::to_owned).collect();
        Self { scope, target: target.id.clone(), prompt, fields, shared_by_dialects }
    }
}
