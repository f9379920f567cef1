//! What a key may call, as `GET /v1/models` shows it.

use std::collections::HashSet;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::price::{Pricing, known_as};
use super::state::{Gateway, Live};
use crate::keys::VirtualKey;
use crate::prompts::{Prompt, Selector, model_name};
use crate::types::Timestamp;
use crate::upstream::ProviderClient;

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
