//! The plan phase: what the rules read of a call, and whom they choose.

use serde_json::{Map, Value};

use super::figures::with_figures;
use super::incoming::Incoming;
use super::meaning::{Judge, Judged};
use super::request::Request;
use super::state::{Live, Parts};
use crate::chat::Error;
use crate::keys::Role;
use crate::prompts::DEFAULT_LABEL;
use crate::routing::{self, KeyFacts, NoPlan, Plan, PromptFacts};
use crate::types::{Timestamp, now};
use crate::wire::json::{Object, fields, items};

/// The most values of a request's metadata that rules read, at all depths: a rule may loop over them, in a loop over them.
const MOST_ENTRIES: usize = 128;

/// The longest metadata that rules read, in bytes.
const LONGEST_METADATA: usize = 64 << 10;

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
/// Where no model of that name is known, every target is cooling, or the rules would read more metadata than they may.
pub fn plan(
    (parts, live): (&Parts, &Live),
    incoming: &mut Incoming,
    request: &Request,
    moment: Moment,
) -> Result<Plan, Error> {
    let Moment { now, dice } = moment;
    let routes = &live.routes;
    if routes.needs().metadata {
        check_metadata(request.first().object())?;
    }
    let (planned, wanted) = with_facts((parts, live), incoming, request, now, |facts, judge| {
        match routes.plan(facts, &parts.health, dice) {
            Ok(plan) if routes.needs().similar => (Ok(judge.noted(plan)), None),
            Err(NoPlan::Open(name)) => (Err(NoPlan::Open(name)), Some(Judged::Wanted(judge.text().into()))),
            planned => (planned, None),
        }
    });
    if let Some(wanted) = wanted {
        incoming.judged = Some(Box::new(wanted));
    }
    let may_see = incoming.key.allows(Role::Viewer);
    planned.map_err(|error| if may_see { error } else { error.without_names() }.into())
}

/// Sees to it that rules get metadata of a size that they can read, loop by loop.
fn check_metadata(object: &Object) -> Result<(), Error> {
    let Some(metadata) = object.get("metadata").filter(|metadata| metadata.len() > MOST_ENTRIES) else { return Ok(()) };
    if metadata.len() <= LONGEST_METADATA && (at_most(metadata) <= MOST_ENTRIES || values(metadata) <= MOST_ENTRIES) {
        return Ok(());
    }
    let bounds = format!("{MOST_ENTRIES} values and {LONGEST_METADATA} bytes");
    Err(Error::field("metadata", format!("`metadata` has at most {bounds} where the rule of a route reads it")))
}

/// No fewer than the values inside a JSON text: commas inside of its strings count too.
fn at_most(json: &str) -> usize {
    1 + json.bytes().filter(|byte| matches!(byte, b',' | b'{' | b'[')).count()
}

/// The values inside a JSON text, at all depths.
fn values(json: &str) -> usize {
    match json.as_bytes().first() {
        Some(b'{') => fields(json).map(|(_, value)| 1 + values(value)).sum(),
        Some(b'[') => items(json).map(|item| 1 + values(item)).sum(),
        _ => 0,
    }
}

/// Works out what the rules read of a call, and no more.
pub fn with_facts<T>(
    (parts, live): (&Parts, &Live),
    incoming: &Incoming,
    request: &Request,
    now: Timestamp,
    use_it: impl FnOnce(&routing::Facts<'_>, &Judge<'_>) -> T,
) -> T {
    let (needs, rendering) = (live.routes.needs(), request.first());
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
    let judge = Judge::of((parts, live), incoming, &text);
    let similar = |set: &str| judge.similarity(set);
    let facts = routing::Facts {
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
        complexity: if needs.complexity { rendering.complexity().score } else { 0.0 },
        figures: None,
        similar: &similar,
    };
    with_figures((parts, live), incoming, request, |figures| {
        use_it(&routing::Facts { figures: Some(figures), ..facts }, &judge)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn is_read(metadata: &str) -> bool {
        check_metadata(&Object::read(format!("{{\"metadata\":{metadata}}}").into()).unwrap()).is_ok()
    }

    #[test]
    fn metadata_for_rules_is_bounded_at_all_depths_and_by_its_bytes() {
        let object = |count: usize, value: &str| {
            let entries: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{value}")).collect();
            format!("{{{}}}", entries.join(","))
        };
        assert!(is_read("null") && is_read(&object(MOST_ENTRIES, "\"a, b, c [d] {e}\"")));
        assert!(!is_read(&object(MOST_ENTRIES + 1, "0")));
        assert!(!is_read(&format!("{{\"list\":[{}]}}", vec!["0"; MOST_ENTRIES].join(","))));
        assert!(!is_read(&object(MOST_ENTRIES / 2, "[1,2]")));
        let text = |length: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(length));
        assert!(is_read(&text(60_000)) && !is_read(&text(70_000)));
    }
}
