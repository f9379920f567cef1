//! The arm that an experiment gives the call.

use serde_json::{Value, json};

use super::subject::Subject;

/// Which arm, and how likely it is; nothing where no experiment has a part in the call.
pub(super) fn part(subject: &Subject<'_>) -> Option<Value> {
    let assigned = subject.call.request.prompt()?.assigned.as_ref()?;
    let (name, arm, unit) = (&assigned.experiment.spec.name, &assigned.arm, assigned.unit_kind.text());
    let summary = format!("{name} gives it the arm {} (version {}), by its {unit}", arm.name, arm.version);
    Some(json!({
        "name": name, "arm": arm.name, "version": arm.version, "model": arm.model, "settings": arm.settings,
        "unit": unit, "propensity": assigned.propensity, "summary": summary,
    }))
}
