//! The keys under which the answer to a call may be cached.

use std::borrow::Cow;
use std::cell::RefCell;

use super::planned::Planned;
use super::rendering::{Keyed, Rendering};
use crate::cache::{CacheKey, Keyer, Keys, Scope, question_key};
use crate::chat::{self, Content, Emulated, Part};
use crate::routing::{CacheScope, Target};
use crate::types::QuickMap;
use crate::wire::dialect::Asked;
use crate::wire::json::{Edits, Object};

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

/// How many questions a worker remembers; then it forgets them all.
const MOST_QUESTIONS: usize = 4_096;

thread_local! {
    /// The key of the question behind a request's own fields, so that the internal form is read once for equal fields.
    static QUESTIONS: RefCell<QuickMap<CacheKey, Option<CacheKey>>> = RefCell::default();
}

impl Planned {
    /// The keys of this call's answer by `target`.
    pub fn keys(&self, target: &Target) -> Keys {
        // Beside the fields, headers count in some dialects.
        let rendering = &*self.rendering(Some(target));
        if self.counting_headers().next().is_some() {
            return Keys { question: None, own: self.own_key(target, rendering) };
        }
        let scope = self.plan.cache.scope;
        let owner = match scope {
            CacheScope::Project => &self.incoming.key.project,
            CacheScope::Key => &self.incoming.key.id,
        };
        let keyed = rendering.keyed.get_or_init(|| Keyed {
            scope,
            owner: owner.clone(),
            provider: target.provider.clone(),
            model: target.model.clone(),
            adapter: target.adapter,
            keys: self.made_keys(target, rendering),
        });
        let same = keyed.scope == scope
            && keyed.owner == *owner
            && keyed.provider == target.provider
            && keyed.model == target.model
            && keyed.adapter == target.adapter;
        if same { keyed.keys } else { self.made_keys(target, rendering) }
    }

    fn made_keys(&self, target: &Target, rendering: &Rendering) -> Keys {
        let own = self.own_key(target, rendering);
        if !rendering.endpoint.is_answer() {
            return Keys { question: None, own };
        }
        let known = QUESTIONS.with_borrow(|questions| questions.get(&own).copied());
        let question = known.unwrap_or_else(|| {
            let question = rendering
                .question()
                .map(|request| question_key(self.scope(), (&target.provider, &target.model), target.adapter, &request));
            QUESTIONS.with_borrow_mut(|questions| {
                if questions.len() >= MOST_QUESTIONS {
                    questions.clear();
                }
                questions.insert(own, question);
            });
            question
        });
        Keys { question, own }
    }

    fn scope(&self) -> Scope<'_> {
        match self.plan.cache.scope {
            CacheScope::Project => Scope::Project(&self.incoming.key.project),
            CacheScope::Key => Scope::Key(&self.incoming.key.id),
        }
    }

    fn own_key(&self, target: &Target, rendering: &Rendering) -> CacheKey {
        let adapter = target.adapter.map(|adapter| adapter.to_string());
        let mut keyer = Keyer::new(self.scope(), &target.provider, &target.model, rendering.endpoint.name());
        if let Some(adapter) = &adapter {
            keyer.field("fulcrum adapter", adapter.as_bytes());
        }
        for (name, value) in self.counting_headers() {
            keyer.field(name, value);
        }
        for (name, value) in rendering.object().iter().filter(|(name, _)| !NOT_KEYED.contains(name)) {
            keyer.field(name, value.as_bytes());
        }
        keyer.finish()
    }

    /// The caller's headers that change an answer.
    fn counting_headers(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let codec = self.request.endpoint.dialect().codec();
        let value = |name: &&'static str| Some((*name, self.incoming.headers.get(*name)?.as_bytes()));
        let headers = codec.headers().iter().filter_map(value);
        headers.filter(move |(name, value)| codec.header_counts(name, value))
    }
}

impl Rendering {
    /// The request in the internal form, where that holds all that decides its answer.
    fn question(&self) -> Option<Cow<'_, chat::Request>> {
        let request = match self.internal() {
            Ok((request, noted)) if noted.is_empty() => Cow::Borrowed(request),
            // What has no word in the internal form may be a field that does not change the answer.
            _ => Cow::Owned(self.without_unkeyed()?),
        };
        let told_by_all = !request.messages.iter().flat_map(|message| &message.parts).any(is_thought);
        (told_by_all && self.codec().reads_all(&self.asked, &request)).then_some(request)
    }

    /// The request without the fields that are no part of a key, where it has one and nothing else is in the way.
    fn without_unkeyed(&self) -> Option<chat::Request> {
        let mut edits = Edits::default();
        let unkeyed = |name: &&&str| !["model", "stream"].contains(*name) && self.object().get(name).is_some();
        NOT_KEYED.iter().filter(unkeyed).for_each(|name| edits.remove(name));
        let object = Object::read(self.object().edited(&edits)).ok()?;
        let asked = Asked { object, ..self.asked.clone() };
        let mut noted = Emulated::default();
        let request = self.codec().read_request(&asked, &mut noted).ok()?;
        noted.is_empty().then_some(request)
    }
}

/// Whether a part is a thought or carries a proof of one: whose it is depends on the dialect that it came in.
fn is_thought(part: &Part) -> bool {
    part.signature.is_some() || matches!(part.content, Content::Thinking(_) | Content::RedactedThinking(_))
}
