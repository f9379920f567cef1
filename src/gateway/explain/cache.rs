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
        let is_stored = |target: &&Arc<Target>| call.parts.cache.get(&call.keys(target).first(), now(), None).is_some();
        // In a cascade the answer of any target is found.
        let looked_at = if call.plan.cascade.is_some() { call.plan.targets.len() } else { 1 };
        let mut looked_at = call.plan.targets.iter().take(looked_at).filter(|_| policy.mode != CacheMode::Off);
        let first = looked_at.clone().next();
        let found = looked_at.find(is_stored);
        let (stored, target) = (found.is_some(), found.or(first));
        let keys = target.map(|target| call.keys(target));
        let key = keys.map(|keys| keys.first());
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
