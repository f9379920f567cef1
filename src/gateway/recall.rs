//! The recall phase: whether an answer is cached, comes with a running call, or is to be asked for.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::answer::SMALL_ANSWER;
use super::empty::is_empty;
use super::meaning::draw_verification;
use super::meter::Meter;
use super::planned::{Planned, refuse};
use super::read::remember;
use super::repair::{Verdict, Wanted};
use super::reply::{Body, Departure, Reply, error_reply};
use crate::cache::{CacheKey, Entry, Follower, Join, Keys, Lead, Look, Replay, Spent};
use crate::chat::{Code, Error};
use crate::routing::{CacheMode, Target};
use crate::types::now;
use crate::usage::{CacheState, Status};

/// A stored answer, as its caller gets it.
pub struct Hit {
    /// Where it lies.
    key: CacheKey,
    entry: Arc<Entry>,
    /// The answer in the caller's dialect, where it is stored in another.
    translated: Option<Bytes>,
    /// How similar the question is that it was an answer to, where that is another.
    similarity: Option<f64>,
}

impl Hit {
    /// The same, for a question that is only so similar.
    pub fn by_meaning(self, similarity: f64) -> Self {
        Self { similarity: Some(similarity), ..self }
    }
}

/// A call for whose question no answer is stored.
pub struct Missed {
    target: Arc<Target>,
    keys: Keys,
    /// Where its answer belongs.
    place: CacheKey,
    /// Whether the target refuses in a live call what is stored.
    is_refused: bool,
}

/// How a call gets its answer.
pub enum Recalled {
    /// From the cache.
    Hit(Hit),
    /// From the answer to another question, where one means the same.
    Missed(Missed),
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
pub fn recall(planned: &mut Planned, meter: &Meter) -> Result<Recalled, Error> {
    let directive = planned.incoming.cache;
    let may_be_cached = planned.request.first().may_be_cached();
    if !directive.only && (!may_be_cached || planned.plan.cache.mode == CacheMode::Off) {
        return Ok(Recalled::Alone);
    }
    if directive.is_bypass() {
        planned.head.cache = Some("bypass");
        meter.cache(CacheState::Bypass, None);
        return Ok(Recalled::Alone);
    }
    let Some(target) = planned.plan.targets.first().cloned() else { return Ok(Recalled::Alone) };
    let keys = planned.keys(&target);
    let mut place = keys.first();
    let mut is_refused = false;
    if directive.read && may_be_cached {
        let translate = |key, entry: &Arc<Entry>| planned.in_dialect(key, entry.clone());
        match planned.parts.cache.look(&keys, now(), directive.max_age, translate) {
            Look::Hit(hit) if planned.notes_emulation(&target, keys.own) => return Ok(Recalled::Hit(hit)),
            Look::Hit(_) => is_refused = true,
            Look::Miss(key) => {
                place = key;
                if let Some(hit) = planned.stored_by_later(directive.max_age) {
                    return Ok(Recalled::Hit(hit));
                }
            }
        }
    }
    let missed = Missed { target, keys, place, is_refused };
    if planned.looks_by_meaning() && may_be_cached {
        return Ok(Recalled::Missed(missed));
    }
    missed.join(planned, meter)
}

impl Missed {
    /// Looks for the answer to a question that means the same.
    pub async fn look_by_meaning(&self, planned: &mut Planned, meter: &Meter) -> Option<Hit> {
        let hit = planned.similar(&self.target, meter).await;
        hit.filter(|_| planned.notes_emulation(&self.target, self.keys.own))
    }

    /// Joins the calls of the same question, where one runs or others may follow.
    ///
    /// # Errors
    /// Where the caller asked for a cached answer only.
    pub fn join(self, planned: &mut Planned, meter: &Meter) -> Result<Recalled, Error> {
        let Self { target, keys, place, mut is_refused } = self;
        let directive = planned.incoming.cache;
        if directive.only {
            let message = "nothing is cached for this request, and x-fulcrum-cache: only was asked";
            return Err(Error::new(Code::NotFound, message));
        }
        planned.head.cache = Some("miss");
        meter.cache(CacheState::Miss, None);
        // What the target refuses in a live call is not answered by an equal one that had no such field.
        is_refused |= planned.has_hints() && !planned.notes_emulation(&target, keys.own);
        if is_refused || !directive.store {
            return Ok(Recalled::Alone);
        }
        let max_age = if directive.read { directive.max_age } else { Some(Duration::ZERO) };
        Ok(match planned.parts.cache.join(keys.own, place, now(), max_age) {
            // An answer that was stored just now may be one that this caller's dialect cannot express.
            Join::Hit(entry) => match planned.in_dialect(place, entry) {
                Some(hit) if planned.notes_emulation(&target, keys.own) => Recalled::Hit(hit),
                _ => Recalled::Alone,
            },
            Join::Follow(follower) => Recalled::Follow(follower),
            Join::Lead(lead) => Recalled::Lead(place, lead),
        })
    }
}

impl Planned {
    /// The stored answer of a later target of a cascade, which was asked since an earlier one's was not accepted.
    fn stored_by_later(&mut self, max_age: Option<Duration>) -> Option<Hit> {
        self.plan.cascade.as_ref()?;
        let later: Vec<Arc<Target>> = self.plan.targets.iter().skip(1).cloned().collect();
        later.iter().find_map(|target| {
            let keys = self.keys(target);
            let translate = |key, entry: &Arc<Entry>| self.in_dialect(key, entry.clone());
            match self.parts.cache.look(&keys, now(), max_age, translate) {
                Look::Hit(hit) => self.notes_emulation(target, keys.own).then_some(hit),
                Look::Miss(_) => None,
            }
        })
    }

    /// Notes what `target` emulates of the request, as a live answer would say; false where it refuses the request.
    fn notes_emulation(&mut self, target: &Target, own: CacheKey) -> bool {
        let emulation = self.emulation(target, own);
        let is_accepted = emulation.is_some();
        self.head.emulated = emulation.unwrap_or_default();
        is_accepted
    }

    /// A stored answer in the caller's dialect; `None` where that cannot express every part.
    pub(super) fn in_dialect(&self, key: CacheKey, entry: Arc<Entry>) -> Option<Hit> {
        let dialect = self.head.dialect;
        if entry.dialect == dialect {
            return Some(Hit { key, entry, translated: None, similarity: None });
        }
        let translated = entry.translated(dialect, &self.rendering(None).answer_context(&self.incoming))?;
        Some(Hit { key, entry, translated: Some(translated), similarity: None })
    }

    /// Whether an answer has not the requested format, on a route that repairs answers.
    pub fn is_malformed(&self, body: &[u8]) -> bool {
        let wanted = self.plan.repair.then(|| Wanted::of(&self.rendering(None))).flatten();
        let verdict = wanted.map(|wanted| wanted.verdict(body));
        matches!(verdict, Some(Verdict::Misses(_) | Verdict::Unchecked { is_torn: true }))
    }

    /// Stores an answer under the key of the target that gave it; one that says nothing is not stored.
    pub fn store(&self, key: CacheKey, target: &Arc<Target>, body: Bytes, spent: Spent) {
        let endpoint = self.request.endpoint;
        if endpoint.is_answer() && is_empty(&body, spent.usage, endpoint.dialect()) {
            return;
        }
        let planned_target = self.plan.targets.first().is_some_and(|first| first.id == target.id);
        let key = if planned_target { key } else { self.keys(target).first() };
        let prompt = self.request.prompt().map(|applied| (applied.version.name.clone(), applied.version.version));
        // What is stored takes no room of the answers under way.
        let body = if body.len() > SMALL_ANSWER { Bytes::copy_from_slice(&body) } else { body };
        let text = body.clone();
        let is_stored = self.parts.cache.put(
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
                simulated: target.simulated,
                prompt,
                replay: Replay::default(),
            },
        );
        if is_stored {
            self.store_by_meaning(key, target, &text);
        }
    }

    /// Answers from the cache.
    pub async fn hit(mut self: Box<Self>, hit: Hit, meter: Meter) -> Reply {
        let Hit { key, entry, translated, similarity } = hit;
        // The stored bytes are shared; a translation is this caller's own.
        let translated = match translated.map(|body| self.held(body)).transpose() {
            Ok(translated) => translated,
            Err(error) => return refuse(self.head, meter, error).await,
        };
        let state = if similarity.is_some() { CacheState::Semantic } else { CacheState::Hit };
        self.head.cache = state.text();
        self.head.similarity = similarity;
        self.head.age = Some(entry.age(now()));
        // A vector may have been asked for.
        (self.head.attempts, self.head.cost) = (meter.attempts(), meter.cost());
        let is_by = |target: &&Arc<Target>| target.provider == entry.provider && target.model == entry.model;
        let planned = self.plan.targets.first().filter(is_by).map(|target| target.id.clone());
        self.head.model = Some(planned.unwrap_or_else(|| format!("{}/{}", entry.provider, entry.model).into()));
        self.head.simulated = entry.simulated;
        meter.cache(state, entry.cost);
        meter.keep_answer(translated.as_ref().unwrap_or(&entry.body));
        meter.note_answer_of(entry.provider.clone(), entry.model.clone());
        if let Err(error) = meter.finish(Status::Ok, 200, None).await {
            return error_reply(self.head, &error);
        }
        remember(&self.incoming, &self.request);
        if let Some(target) = self.plan.targets.first().filter(|_| similarity.is_some()) {
            draw_verification(&self, target, translated.as_ref().unwrap_or(&entry.body));
        }
        let rendering = self.rendering(None);
        if let Some(body) = translated {
            return self.whole(&rendering, body);
        }
        if !rendering.asked.stream || rendering.asked.include_usage {
            return self.whole(&rendering, entry.body.clone());
        }
        let events = self.parts.cache.replay(key, &entry, || {
            rendering.codec().as_stream(&entry.body, &rendering.answer_context(&self.incoming)).unwrap_or_default()
        });
        Reply { head: self.head, body: Body::Events(events) }
    }
}
