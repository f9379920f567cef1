//! What a live answer says beside its body: what a target emulates of a request, or that it refuses it. A stored or shared
//! answer says the same.

use std::cell::RefCell;
use std::sync::Arc;

use super::cache_key::NOT_KEYED;
use super::planned::Planned;
use super::rendering::Rendering;
use crate::cache::{CacheKey, Keyer, Scope};
use crate::chat::{Emulated, Structured};
use crate::routing::Target;
use crate::types::QuickMap;
use crate::wire::ProviderDialect;

/// How many requests a worker remembers; then it forgets them all.
const MOST: usize = 4_096;

thread_local! {
    static EMULATIONS: RefCell<QuickMap<Place, Option<Emulated>>> = RefCell::default();
}

/// All that decides what a target emulates of a request.
#[derive(PartialEq, Eq, Hash)]
struct Place {
    own: CacheKey,
    hints: Option<CacheKey>,
    dialect: ProviderDialect,
    structured: Option<Structured>,
    base_model: Option<Arc<str>>,
}

impl Planned {
    /// What `target` emulates of this request, whose own key is `own`; `None` where it refuses the request.
    pub fn emulation(&self, target: &Target, own: CacheKey) -> Option<Emulated> {
        let client = self.live.clients.get(&target.provider);
        let Some(client) = client.filter(|_| self.request.endpoint.is_answer()) else {
            return Some(Emulated::default());
        };
        let Ok(rendering) = self.request.rendering(target) else { return None };
        let dialect = client.dialect_for(self.request.endpoint.dialect(), &target.model);
        if rendering.brought.is_none() && rendering.goes_as_it_came(dialect, target) {
            return Some(Emulated::default());
        }
        let hints = hints(&rendering, self.scope());
        let (structured, base_model) = (target.structured, target.base_model.clone());
        let place = Place { own, hints, dialect, structured, base_model };
        if let Some(emulation) = EMULATIONS.with_borrow(|known| known.get(&place).cloned()) {
            return emulation;
        }
        let asked = rendering.for_target(&self.incoming, (client, target), &self.live.prices);
        let emulation = asked.ok().map(|upstream_request| upstream_request.emulated);
        EMULATIONS.with_borrow_mut(|known| {
            if known.len() >= MOST {
                known.clear();
            }
            known.insert(place, emulation.clone());
        });
        emulation
    }

    /// Whether equal calls may get other headers, since they differ in fields that are no part of their keys.
    pub fn has_hints(&self) -> bool {
        hint_fields(&self.rendering(None)).next().is_some()
    }
}

/// The fields that are no part of a key, though a target may refuse them or leave them out.
fn hint_fields(rendering: &Rendering) -> impl Iterator<Item = (&str, &str)> {
    let is_hint = |name: &str| NOT_KEYED.contains(&name) && !["model", "stream"].contains(&name);
    rendering.object().iter().filter(move |(name, _)| is_hint(name))
}

/// A hash over these fields, where there are any.
fn hints(rendering: &Rendering, scope: Scope<'_>) -> Option<CacheKey> {
    let mut hints = hint_fields(rendering).peekable();
    hints.peek()?;
    let mut keyer = Keyer::new(scope, "", "", rendering.endpoint.name());
    for (name, value) in hints {
        keyer.field(name, value.as_bytes());
    }
    Some(keyer.finish())
}
