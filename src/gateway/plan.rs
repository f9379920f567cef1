//! The plan phase: what the rules read of a call, and whom they choose.

use serde_json::{Map, Value};

use super::incoming::Incoming;
use super::request::Request;
use crate::chat::Error;
use crate::prompts::DEFAULT_LABEL;
use crate::routing::{self, Health, KeyFacts, Plan, PromptFacts, Routes};
use crate::types::{Timestamp, now};
use crate::wire::json::Object;

/// The header by which a call says that its messages are a draft of this prompt: rules see it as that prompt's next version.
pub const DRAFT_OF: &str = "x-fulcrum-draft-of";

/// The time and the chance by which a plan is made.
#[derive(Clone, Copy)]
pub struct Moment {
    /// The time.
    pub now: Timestamp,
    /// From 0 to 1: whom a weighted route chooses.
    pub dice: f64,
}

impl Moment {
    /// Now, by chance.
    pub fn here() -> Self {
        Self { now: now(), dice: rand::random() }
    }
}

/// Asks the rules whom to call.
///
/// # Errors
/// Where no model of that name is known, or every target is cooling.
pub fn plan(
    routes: &Routes,
    health: &Health,
    incoming: &Incoming,
    request: &Request,
    moment: Moment,
) -> Result<Plan, Error> {
    let Moment { now, dice } = moment;
    with_facts(routes, incoming, request, now, |facts| routes.plan(facts, health, dice).map_err(Error::from))
}

/// Works out what the rules read of a call, and no more.
pub fn with_facts<T>(
    routes: &Routes,
    incoming: &Incoming,
    request: &Request,
    now: Timestamp,
    use_it: impl FnOnce(&routing::Facts<'_>) -> T,
) -> T {
    let (needs, rendering) = (routes.needs(), request.first());
    let metadata: Option<Map<String, Value>> = if needs.metadata { metadata(rendering.object()) } else { None };
    let text = if needs.text { rendering.text() } else { String::new() };
    let header = |name: &str| incoming.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let prompt = request.prompt().map(|resolved| PromptFacts {
        name: resolved.version.name.as_str(),
        version: resolved.version.version,
        label: resolved.label.as_deref().unwrap_or_default(),
    });
    let prompt = prompt.or_else(|| if needs.prompt { draft(incoming) } else { None });
    let key = &incoming.key;
    use_it(&routing::Facts {
        model: &rendering.asked.model,
        stream: rendering.asked.stream,
        input_tokens: if needs.input_tokens { rendering.input_tokens() } else { 0 },
        max_tokens: rendering.max_tokens,
        has_tools: needs.has_tools && rendering.object().get("tools").is_some(),
        has_images: needs.has_images && rendering.codec().has_images(rendering.object()),
        text: &text,
        prompt,
        key: KeyFacts { id: &key.id, name: &key.name, project: &key.project, tags: &key.tags },
        metadata: metadata.as_ref(),
        header: &header,
        user: incoming.user.as_deref(),
        session: incoming.session.as_deref(),
        now,
        budget_used: 0.0,
    })
}

/// The prompt that the call's messages are a draft of: newer than every version, and under the label that a bare name has.
fn draft(incoming: &Incoming) -> Option<PromptFacts<'_>> {
    let name = incoming.headers.get(DRAFT_OF)?.to_str().ok()?;
    Some(PromptFacts { name, version: u32::MAX, label: DEFAULT_LABEL })
}

fn metadata(object: &Object) -> Option<Map<String, Value>> {
    serde_json::from_str(object.get("metadata")?).ok()
}
