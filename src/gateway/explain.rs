//! What a request would get, without a call of a provider.
//!
//! A feature says its part in a file of its own, and has a line in [`PARTS`] or [`OF_CANDIDATES`].

mod accept;
mod cache;
mod causes;
mod cooling;
mod experiment;
mod hedge;
mod meaning;
mod min_speed;
mod shadow;
mod subject;
mod unexplained;

use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value};

use self::cache::CacheShown;
use self::subject::{CandidatePart, Part, Subject};
pub use self::unexplained::Unexplained;
use super::aside::{LARGE, aside};
use super::incoming::Incoming;
use super::look_up::looked_up;
use super::meaning::{Judged, Meant};
use super::plan::{Moment, with_facts};
use super::planned::Planned;
use super::prepared::{Known, Prepared};
use super::price::Priced;
use super::rendering::Rendering;
use super::reply::Head;
use super::state::Gateway;
use crate::chat::{Error, Used};
use crate::keys::Role;
use crate::routing::{Complexity, Scored, Target, Trace};
use crate::types::Nanos;
use crate::wire::dialect::Addressed;
use crate::wire::endpoint::Endpoint;
use crate::wire::json::{Edits, Object};

/// The parts of an explanation by their names, in their order.
static PARTS: [(&str, Part); 7] = [
    ("experiment", experiment::part),
    ("causes", causes::part),
    ("min_speed", min_speed::part),
    ("hedge", hedge::part),
    ("similar", meaning::similar),
    ("by_meaning", meaning::by_meaning),
    ("shadow", shadow::part),
];

/// The parts of a candidate by their names, in their order.
static OF_CANDIDATES: [(&str, CandidatePart); 2] = [("cooling", cooling::part), ("accept", accept::part)];

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
    #[serde(flatten)]
    parts: Map<String, Value>,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    score: Option<Scored>,
    estimated_cost_usd: Option<Nanos>,
    rate: Option<Value>,
    #[serde(flatten)]
    parts: Map<String, Value>,
}

#[derive(Serialize)]
struct Tokens {
    input: u64,
    max_output: u64,
    /// Whether the request bounds what is written; else `max_output` is what is reckoned with.
    bounded: bool,
    estimated: bool,
}

impl Gateway {
    /// Explains the call of a request, whose body names the endpoint too.
    ///
    /// # Errors
    /// What the call itself would be refused with, with the rules where none takes it.
    pub async fn explain(&self, incoming: Incoming) -> Result<Explanation, Unexplained> {
        let key = incoming.key.clone();
        match self.explain_once(incoming.clone()).await {
            Err(refused) if looked_up(self.parts(), &key, &refused.error).await => self.explain_once(incoming).await,
            explained => explained,
        }
    }

    async fn explain_once(&self, incoming: Incoming) -> Result<Explanation, Unexplained> {
        if incoming.body.len() <= LARGE {
            return self.explained(incoming);
        }
        let gateway = self.clone();
        aside(&self.parts().pool, move || gateway.explained(incoming)).await?
    }

    fn explained(&self, mut incoming: Incoming) -> Result<Explanation, Unexplained> {
        let object = Object::read(incoming.body.clone()).map_err(Error::from)?;
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
        // What a rule would ask of an embedding model is not asked here.
        incoming.judged = Some(Box::new(Judged::Failed("not_asked")));
        let request = Prepared::request((&parts, &live), &mut incoming, &mut Known::default())?;
        let planned = Prepared::planned((&parts, &live), &mut incoming, request.clone(), moment);
        if let Err(error) = &planned
            && error.param.as_deref() != Some("model")
        {
            // The rules are not asked about what they may not read.
            return Err(error.clone().into());
        }
        let Moment { now, dice } = moment;
        let trace = with_facts((&parts, &live), &incoming, &request, now, |facts, _| {
            live.routes.trace(facts, &parts.health, dice)
        });
        // The rules of others may name them; who reads the configuration sees all.
        let trace = if incoming.key.allows(Role::Viewer) { trace } else { trace.of_its_own() };
        let plan = planned.map_err(|error| Unexplained::with(error, trace.clone()))?.plan;
        let head = Head::new(incoming.id, 200, incoming.endpoint.dialect());
        Ok(Planned { parts, live, incoming, request, plan, head, meant: Meant::default() }.explained(trace))
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
            cache: CacheShown::of(&self),
            complexity: rendering.complexity(),
            tokens: Tokens {
                input: reserve.input,
                max_output: reserve.output,
                bounded: rendering.is_bounded(),
                estimated: true,
            },
            parts: named(PARTS.iter().map(|(name, part)| (*name, part(&Subject { call: &self })))),
            trace,
        }
    }

    /// The price of `target`'s calls, and the most tokens that its model writes.
    fn priced(&self, target: &Target) -> Option<Priced> {
        let client = self.live.clients.get(&target.provider)?;
        Some(self.live.priced(client.provider(), target))
    }

    /// What the call would cost at `target`, as an attempt reserves it; `None` where no price is known.
    fn estimated_cost(&self, target: &Target) -> Option<Nanos> {
        self.estimated(target, Rendering::reserve)
    }

    /// What a copy of the call would cost at `target`, as a shadow sets it aside; `None` where no price is known.
    fn estimated_copy(&self, target: &Target) -> Option<Nanos> {
        self.estimated(target, Rendering::own_reserve)
    }

    fn estimated(&self, target: &Target, reserve: impl Fn(&Rendering, Option<u64>) -> Used) -> Option<Nanos> {
        let (pricing, most) = self.priced(target)?;
        let rendering = self.rendering(Some(target));
        let tier = self.live.clients.get(&target.provider).map(|client| rendering.asked_tier(client));
        pricing.cost(&reserve(&rendering, most).in_tier(tier.unwrap_or_default()))
    }

    fn candidate(&self, target: &Target, trace: &Trace) -> Candidate {
        let traced = trace.candidates.iter().find(|traced| traced.model == target.id);
        let pricing = self.priced(target).map(|(pricing, _)| pricing);
        Candidate {
            model: target.id.clone(),
            local: target.local,
            reason: traced.map(|traced| traced.reason.clone()).unwrap_or_default(),
            state: traced.map(|traced| traced.state.clone()).unwrap_or_default(),
            score: traced.and_then(|traced| traced.score.clone()),
            estimated_cost_usd: self.estimated_cost(target),
            rate: pricing.and_then(|pricing| serde_json::from_str(&pricing.text()?).ok()),
            parts: named(OF_CANDIDATES.iter().map(|(name, part)| (*name, part(&Subject { call: self }, target)))),
        }
    }
}

/// The parts that say something.
fn named(parts: impl Iterator<Item = (&'static str, Option<Value>)>) -> Map<String, Value> {
    parts.filter_map(|(name, part)| Some((name.to_owned(), part?))).collect()
}
