//! What a request would get, without a call of a provider.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::aside::{LARGE, aside};
use super::incoming::Incoming;
use super::look_up::looked_up;
use super::plan::{Moment, with_facts};
use super::planned::Planned;
use super::prepared::{Known, Prepared};
use super::price::{Priced, Pricing, known_as};
use super::reply::Head;
use super::state::{Gateway, Live};
use crate::chat::Error;
use crate::keys::{Role, VirtualKey};
use crate::prompts::{Prompt, Selector, model_name};
use crate::routing::{CacheMode, CachePolicy, Complexity, Target, Trace};
use crate::types::{Nanos, Timestamp, now};
use crate::upstream::ProviderClient;
use crate::wire::dialect::Addressed;
use crate::wire::endpoint::Endpoint;
use crate::wire::json::{Edits, Object};

/// What a request would get.
#[derive(Serialize)]
pub struct Explanation {
    endpoint: &'static str,
    requested_model: String,
    prompt: Option<PromptShown>,
    messages: Option<Value>,
    trace: Trace,
    route: Option<Arc<str>>,
    candidates: Vec<Candidate>,
    cache: CacheShown,
    complexity: Complexity,
    tokens: Tokens,
    estimated_cost_usd: Option<Nanos>,
}

#[derive(Serialize)]
struct PromptShown {
    name: String,
    version: u32,
    label: Option<String>,
}

#[derive(Serialize)]
struct Candidate {
    model: Arc<str>,
    local: bool,
    reason: String,
    state: String,
    estimated_cost_usd: Option<Nanos>,
    rate: Option<Value>,
}

#[derive(Serialize)]
struct CacheShown {
    mode: CacheMode,
    key: Option<String>,
    stored: bool,
    ttl_seconds: u64,
}

#[derive(Serialize)]
struct Tokens {
    input: u64,
    max_output: u64,
    /// Whether the request bounds what is written; else `max_output` is what is reckoned with.
    bounded: bool,
    estimated: bool,
}

/// A model as `GET /v1/models` shows it.
#[derive(Serialize)]
pub struct ModelCard {
    /// The name that requests use.
    pub id: Arc<str>,
    object: &'static str,
    created: i64,
    owned_by: Arc<str>,
    fulcrum: About,
}

#[derive(Serialize)]
struct About {
    provider: Option<Arc<str>>,
    model: Option<Arc<str>>,
    simulated: bool,
    local: bool,
    price: Option<Value>,
    context: Option<u64>,
    max_output: Option<u64>,
    retires_on: Option<String>,
}

impl ModelCard {
    /// When the model was made, where its server says so; else when the gateway began to offer it.
    #[must_use]
    pub fn created(&self) -> Timestamp {
        Timestamp(self.created.saturating_mul(1_000_000))
    }

    /// The most tokens that the model reads and writes, where they are known.
    #[must_use]
    pub fn limits(&self) -> (Option<u64>, Option<u64>) {
        (self.fulcrum.context, self.fulcrum.max_output)
    }
}

impl Gateway {
    /// Explains the call of a request, whose body names the endpoint too.
    ///
    /// # Errors
    /// What the call itself would be refused with.
    pub async fn explain(&self, incoming: Incoming) -> Result<Explanation, Error> {
        let key = incoming.key.clone();
        match self.explain_once(incoming.clone()).await {
            Err(error) if looked_up(self.parts(), &key, &error).await => self.explain_once(incoming).await,
            explained => explained,
        }
    }

    async fn explain_once(&self, incoming: Incoming) -> Result<Explanation, Error> {
        if incoming.body.len() <= LARGE {
            return self.explained(incoming);
        }
        let gateway = self.clone();
        aside(&self.parts().pool, move || gateway.explained(incoming)).await?
    }

    fn explained(&self, mut incoming: Incoming) -> Result<Explanation, Error> {
        let object = Object::read(incoming.body.clone())?;
        if let Some(endpoint) = object.get("endpoint") {
            let name: String = serde_json::from_str(endpoint).unwrap_or_default();
            incoming.endpoint = Endpoint::named(&name).ok_or_else(|| {
                Error::field("endpoint", "`endpoint` must be one of the data plane's, such as /v1/chat/completions")
            })?;
        }
        let mut edits = Edits::default();
        edits.remove("endpoint");
        if incoming.endpoint.is_addressed() {
            // Its own address names the model; here the body does.
            let model = object.get("model").and_then(|json| serde_json::from_str(json).ok());
            incoming.addressed = Addressed { model, stream: object.get("stream") == Some("true") };
            edits.remove("model");
            edits.remove("stream");
        }
        incoming.body = object.edited(&edits);
        let (parts, live) = (self.parts().clone(), self.live());
        let moment = Moment::here();
        let prepared = Prepared::of((&parts, &live), &mut incoming, &mut Known::default(), moment);
        let Prepared { request, plan } = prepared?;
        let Moment { now, dice } = moment;
        let trace =
            with_facts(&live.routes, &incoming, &request, now, |facts| live.routes.trace(facts, &parts.health, dice));
        // The rules of others may name them; who reads the configuration sees all.
        let trace = if incoming.key.allows(Role::Viewer) { trace } else { trace.of_its_own() };
        let head = Head::new(incoming.id, 200, incoming.endpoint.dialect());
        Ok(Planned { parts, live, incoming, request, plan, head }.explained(trace))
    }
}

impl Planned {
    fn explained(self, trace: Trace) -> Explanation {
        let rendering = self.rendering(None);
        let most = self.plan.targets.first().and_then(|target| self.priced(target)?.1);
        let reserve = rendering.reserve(most).usage.unwrap_or_default();
        let candidates: Vec<Candidate> =
            self.plan.targets.iter().map(|target| self.candidate(target, &trace)).collect();
        let messages =
            rendering.object().get(rendering.conversation()).and_then(|json| serde_json::from_str(json).ok());
        Explanation {
            endpoint: self.request.endpoint.name(),
            requested_model: self.request.requested().to_owned(),
            prompt: self.request.prompt().map(|applied| PromptShown {
                name: applied.version.name.to_string(),
                version: applied.version.version,
                label: applied.label.clone(),
            }),
            messages,
            route: self.plan.route.clone(),
            estimated_cost_usd: candidates.first().and_then(|candidate| candidate.estimated_cost_usd),
            candidates,
            cache: self.cache_shown(self.plan.cache),
            complexity: rendering.complexity(),
            tokens: Tokens {
                input: reserve.input,
                max_output: reserve.output,
                bounded: rendering.is_bounded(),
                estimated: true,
            },
            trace,
        }
    }

    /// The price of `target`'s calls, and the most tokens that its model writes.
    fn priced(&self, target: &Target) -> Option<Priced> {
        let client = self.live.clients.get(&target.provider)?;
        Some(self.live.priced(client.provider(), target))
    }

    fn candidate(&self, target: &Target, trace: &Trace) -> Candidate {
        let traced = trace.candidates.iter().find(|traced| traced.model == target.id);
        let (pricing, most) = self.priced(target).unzip();
        let rendering = self.rendering(Some(target));
        let tier = self.live.clients.get(&target.provider).map(|client| rendering.asked_tier(client));
        let reserve = rendering.reserve(most.flatten()).in_tier(tier.unwrap_or_default());
        Candidate {
            model: target.id.clone(),
            local: target.local,
            reason: traced.map(|traced| traced.reason.clone()).unwrap_or_default(),
            state: traced.map(|traced| traced.state.clone()).unwrap_or_default(),
            estimated_cost_usd: pricing.as_ref().and_then(|pricing| pricing.cost(&reserve)),
            rate: pricing.and_then(|pricing| serde_json::from_str(&pricing.text()?).ok()),
        }
    }

    fn cache_shown(&self, policy: CachePolicy) -> CacheShown {
        let target = self.plan.targets.first().filter(|_| policy.mode != CacheMode::Off);
        let key = target.map(|target| self.keys(target).first());
        let stored = key.is_some_and(|key| self.parts.cache.get(&key, now(), None).is_some());
        CacheShown { mode: policy.mode, key: key.map(|key| key.to_string()), stored, ttl_seconds: policy.ttl.as_secs() }
    }
}

/// What `key` may call: the names of models and routes, and the prompts.
#[must_use]
pub fn models(gateway: &Gateway, key: &VirtualKey) -> Vec<ModelCard> {
    let live = gateway.live();
    let names = live.routes.models().iter().filter(|name| key.may_call(name));
    let started = gateway.parts().started;
    let mut cards: Vec<ModelCard> = names.map(|name| card(&live, name.clone(), started)).collect();
    for prompt in gateway.parts().prompts.list().iter().filter(|prompt| prompt.archived_at.is_none()) {
        let id = model_name(&prompt.name);
        if key.may_call(&id) {
            let mut card = card(&live, id.into(), prompt.created_at);
            card.fulcrum.simulated = is_simulated(&live, prompt);
            cards.push(card);
        }
    }
    let known: HashSet<Arc<str>> = cards.iter().map(|card| card.id.clone()).collect();
    let mut clients: Vec<_> = live.clients.values().collect();
    clients.sort_unstable_by_key(|client| &client.provider().name);
    for client in clients {
        for listed in client.listed_models().iter() {
            let id: Arc<str> = format!("{}/{}", client.provider().name, listed.id).into();
            if !known.contains(&id) && key.may_call(&id) {
                let mut card = card(&live, id, started);
                card.created = listed.created.unwrap_or(card.created);
                card.fulcrum.context = card.fulcrum.context.or(listed.context);
                cards.push(card);
            }
        }
    }
    cards
}

/// Whether only simulated providers can answer the calls of a prompt that name nothing but it.
fn is_simulated(live: &Live, prompt: &Prompt) -> bool {
    // Which model a version names is read only where it matters.
    let is_made_up = |client: &Arc<ProviderClient>| client.provider().kind.row().simulated;
    if !live.clients.values().any(is_made_up) {
        return false;
    }
    let version = prompt.resolve(&Selector::Default).ok().or_else(|| prompt.versions.last().cloned());
    let draft = version.and_then(|version| version.draft().ok());
    draft.is_some_and(|draft| draft.model().is_some_and(|model| live.routes.is_simulated(model)))
}

fn card(live: &Live, id: Arc<str>, created: Timestamp) -> ModelCard {
    let is_simulated = live.routes.is_simulated(&id);
    let target = live.routes.target(&id);
    let client = target.as_ref().and_then(|target| live.clients.get(&target.provider));
    let provider = client.map(|client| client.provider());
    let about = target.as_ref().zip(provider).and_then(|(target, provider)| known_as(&live.prices, provider, target));
    let pricing = target.as_ref().zip(provider).map(|(target, provider)| Pricing::of(&live.prices, provider, target));
    ModelCard {
        id,
        object: "model",
        created: created.0 / 1_000_000,
        owned_by: target.as_ref().map_or_else(|| "fulcrum".into(), |target| target.provider.clone()),
        fulcrum: About {
            provider: target.as_ref().map(|target| target.provider.clone()),
            model: target.as_ref().map(|target| target.model.clone()),
            simulated: is_simulated,
            local: target.as_ref().is_some_and(|target| target.local),
            price: pricing.and_then(|pricing| serde_json::from_str(&pricing.text()?).ok()),
            context: about.as_ref().and_then(|about| about.max_input_tokens),
            max_output: about.as_ref().and_then(|about| about.max_output_tokens),
            retires_on: about.and_then(|about| about.retires_on.clone()),
        },
    }
}
