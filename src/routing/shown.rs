//! What routes and plans show of themselves: in the admin API, and in the ledger's traces.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::pick::Weighted;
use super::plan::{Plan, Route};
use super::target::Target;

impl Route {
    /// The route as the admin API shows it.
    pub(super) fn row(&self) -> Value {
        let mut models: Vec<&str> = self.models.iter().map(|model| &**model).collect();
        models.sort_unstable();
        let targets = self.targets.iter();
        let accept = |target: &Target| Some(self.cascade.as_ref()?.accept_of(target)?.shown());
        let shown = |Weighted { target, weight }: &Weighted| match accept(target) {
            Some(accept) => json!({"model": target.id, "weight": weight, "accept": accept}),
            None => json!({"model": target.id, "weight": weight}),
        };
        let targets: Vec<_> = targets.map(shown).collect();
        let fallbacks: Vec<_> = self.fallbacks.iter().map(|target| &target.id).collect();
        let mut row = json!({
            "name": self.name, "when": self.rule.as_ref().map(|rule| &rule.text), "models": models,
            "strategy": self.strategy, "sticky_by": self.sticky_by, "affinity": self.affinity,
            "targets": targets, "fallbacks": fallbacks, "retries": self.retries, "repair": self.repair,
            "local_only": self.local_only, "min_speed": self.min_speed, "cache": self.cache.row(),
        });
        if let Some(hedge) = &self.hedge {
            row["hedge"] = hedge.shown();
        }
        row["shadow"] = self.shadow.as_ref().map_or(Value::Null, |shadow| shadow.row());
        if let Some(row) = row.as_object_mut() {
            row.append(&mut self.causes_row());
        }
        row
    }
}

impl Plan {
    /// The decision as compact JSON, for the ledger: `{"rule", "candidates", "decision"}`.
    #[must_use]
    pub fn trace(&self) -> Arc<str> {
        self.usual.clone().filter(|_| self.similar.is_none()).unwrap_or_else(|| self.text())
    }

    /// The decision, written anew.
    pub(super) fn text(&self) -> Arc<str> {
        #[derive(Serialize)]
        struct Short<'a> {
            rule: Option<&'a str>,
            candidates: Vec<&'a str>,
            decision: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            similar: Option<&'a RawValue>,
        }
        let candidates: Vec<&str> = self.targets.iter().map(|target| &*target.id).collect();
        let similar = self.similar.as_deref().and_then(|json| serde_json::from_str(json).ok());
        let short = Short { rule: self.route.as_deref(), decision: candidates.first().copied(), candidates, similar };
        serde_json::to_string(&short).unwrap_or_default().into()
    }
}
