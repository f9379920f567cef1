//! The recall phase: whether an answer is cached, comes with a running call, or is to be asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::meter::Meter;
use super::planned::Planned;
use super::read::remember;
use super::repair::Wanted;
use super::reply::{Body, Departure, Reply, error_reply};
use super::request::Keyed;
use crate::cache::{CacheKey, Entry, Follower, Join, Keyer, Lead, Replay, Scope, Spent};
use crate::chat::{Code, Error};
use crate::routing::{CacheMode, CacheScope, Target};
use crate::types::{Nanos, now};
use crate::usage::{CacheState, Status};

/// Fields that do not change an answer, so that they are no part of its key.
const NOT_KEYED: [&str; 9] = [
    "model",
    "stream",
    "stream_options",
    "user",
    "metadata",
    "store",
    "safety_identifier",
    "prompt_cache_key",
    "prompt_cache_retention",
];

/// How a call gets its answer.
pub enum Recalled {
    /// From the cache.
    Hit(CacheKey, Arc<Entry>),
    /// From an equal call that runs.
    Follow(Follower<Departure>),
    /// By a call that others may follow.
    Lead(CacheKey, Lead<Departure>),
    /// By a call of its own.
    Alone,
}

/// Looks for an answer that may serve the call.
///
/// # Errors
/// Where the caller asked for a cached answer only, and there is none.
pub fn recall(planned: &mut Planned, meter: &mut Meter) -> Result<Recalled, Error> {
    let directive = planned.incoming.cache;
    let may_be_cached = planned.request.may_be_cached();
    if !directive.only && (!may_be_cached || planned.plan.cache.mode == CacheMode::Off) {
        return Ok(Recalled::Alone);
    }
    if directive.is_bypass() {
        planned.head.cache = Some("bypass");
        meter.cache(CacheState::Bypass, None);
        return Ok(Recalled::Alone);
    }
    let Some(target) = planned.plan.targets.first() else { return Ok(Recalled::Alone) };
    let key = planned.key(target);
    let cache = &planned.parts.cache;
    if directive.read
        && may_be_cached
        && let Some(entry) = cache.get(&key, now(), directive.max_age)
    {
        return Ok(Recalled::Hit(key, entry));
    }
    if directive.only {
        let message = "nothing is cached for this request, and x-fulcrum-cache: only was asked";
        return Err(Error::new(Code::NotFound, message));
    }
    planned.head.cache = Some("miss");
    meter.cache(CacheState::Miss, None);
    if !directive.store {
        return Ok(Recalled::Alone);
    }
    let max_age = if directive.read { directive.max_age } else { Some(Duration::ZERO) };
    Ok(match cache.join(key, now(), max_age) {
        Join::Hit(entry) => Recalled::Hit(key, entry),
        Join::Follow(follower) => Recalled::Follow(follower),
        Join::Lead(lead) => Recalled::Lead(key, lead),
    })
}

impl Planned {
    /// The key of this call's answer by `target`.
    pub fn key(&self, target: &Target) -> CacheKey {
        // Beside the fields, headers count in some dialects.
        let mut headers = self.request.codec().headers().iter();
        if headers.any(|name| self.incoming.headers.contains_key(*name)) {
            return self.made_key(target);
        }
        let scope = self.plan.cache.scope;
        let owner = match scope {
            CacheScope::Project => &self.incoming.key.project,
            CacheScope::Key => &self.incoming.key.id,
        };
        let keyed = self.request.keyed.get_or_init(|| Keyed {
            scope,
            owner: owner.clone(),
            provider: target.provider.clone(),
            model: target.model.clone(),
            key: self.made_key(target),
        });
        let same = keyed.scope == scope
            && keyed.owner == *owner
            && keyed.provider == target.provider
            && keyed.model == target.model;
        if same { keyed.key } else { self.made_key(target) }
    }

    fn made_key(&self, target: &Target) -> CacheKey {
        let scope = match self.plan.cache.scope {
            CacheScope::Project => Scope::Project(&self.incoming.key.project),
            CacheScope::Key => Scope::Key(&self.incoming.key.id),
        };
        let adapter = target.adapter.map(|adapter| adapter.to_string());
        let mut keyer = Keyer::new(scope, &target.provider, &target.model, self.request.endpoint.name());
        if let Some(adapter) = &adapter {
            keyer.field("fulcrum adapter", adapter.as_bytes());
        }
        for name in self.request.codec().headers() {
            if let Some(value) = self.incoming.headers.get(*name) {
                keyer.field(name, value.as_bytes());
            }
        }
        for (name, value) in self.request.object().iter().filter(|(name, _)| !NOT_KEYED.contains(name)) {
            keyer.field(name, value.as_bytes());
        }
        keyer.finish()
    }

    /// Whether an answer is not of the form asked for, on a route that minds.
    pub fn is_flawed(&self, body: &[u8]) -> bool {
        let wanted = self.plan.repair.then(|| Wanted::of(&self.request)).flatten();
        wanted.is_some_and(|wanted| wanted.flaw(body).is_some())
    }

    /// Stores an answer under the key of the target that gave it.
    pub fn store(&self, key: CacheKey, target: &Arc<Target>, body: Bytes, spent: Spent) {
        let planned_target = self.plan.targets.first().is_some_and(|first| first.id == target.id);
        let key = if planned_target { key } else { self.key(target) };
        let prompt =
            self.request.prompt.as_ref().map(|applied| (applied.version.name.clone(), applied.version.version));
        self.parts.cache.put(
            key,
            Entry {
                body,
                dialect: self.request.endpoint.dialect(),
                usage: spent.usage,
                cost: spent.cost,
                stored_at: now(),
                ttl: self.plan.cache.ttl,
                project: self.incoming.key.project.clone(),
                provider: target.provider.clone(),
                model: target.model.clone(),
                prompt,
                replay: Replay::default(),
            },
        );
    }

    /// Answers from the cache.
    pub async fn hit(mut self: Box<Self>, key: CacheKey, entry: &Arc<Entry>, mut meter: Box<Meter>) -> Reply {
        self.head.cache = Some("hit");
        self.head.age = Some(entry.age(now()));
        self.head.cost = Some(Nanos(0));
        let is_by = |target: &&Arc<Target>| target.provider == entry.provider && target.model == entry.model;
        let planned = self.plan.targets.first().filter(is_by).map(|target| target.id.clone());
        self.head.model = Some(planned.unwrap_or_else(|| format!("{}/{}", entry.provider, entry.model).into()));
        meter.cache(CacheState::Hit, entry.cost);
        meter.keep_answer(&entry.body);
        if let Some(row) = meter.row() {
            row.provider = Some(entry.provider.clone());
            row.model = Some(entry.model.clone());
        }
        if let Err(error) = meter.finish(Status::Ok, 200, None).await {
            return error_reply(self.head, &error);
        }
        remember(&self.incoming, &self.request);
        let asked = &self.request.asked;
        if !asked.stream || asked.include_usage {
            return self.whole(entry.body.clone());
        }
        let events = self.parts.cache.replay(key, entry, || {
            self.request
                .codec()
                .as_stream(&entry.body, &self.request.answer_context(&self.incoming))
                .unwrap_or_default()
        });
        Reply { head: self.head, body: Body::Events(events) }
    }
}
