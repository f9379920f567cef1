//! The assign phase: the arm that an experiment gives a call of a prompt, before its version is looked up.

use super::incoming::Incoming;
use super::key::may_call_by_name;
use crate::experiments::{Assigned, Caller, Experiments};
use crate::keys::VirtualKey;
use crate::prompts::Reference;
use crate::usage::Assignment;

/// The arm of a call; `None` where no experiment has a part in it, as mostly. A call of a version of its own choice, and one that the
/// gateway makes of its own, are never touched.
pub fn assign(experiments: &Experiments, reference: &Reference, incoming: &Incoming) -> Option<Assigned> {
    let label = reference.selector.label()?;
    if experiments.is_idle() || incoming.own.is_some() {
        return None;
    }
    let id = incoming.id.text();
    let caller = Caller {
        user: incoming.user.as_deref(),
        session: incoming.session.as_deref(),
        key: &incoming.key.id,
        request: id.as_str(),
    };
    experiments.assign(&reference.name, label, &caller)
}

/// Whether `key` may call the models of all arms, so that none of its calls is refused for the arm that it got. Keys that may not
/// have no part in the experiment, whichever arm is theirs: else an arm would lack them.
pub fn may_get_any_arm(key: &VirtualKey, reference: &Reference, assigned: &Assigned) -> bool {
    let mut models = assigned.experiment.spec.arms.iter().filter_map(|arm| arm.model.as_ref());
    models.all(|model| key.may_call(model.as_str())) || may_call_by_name(key, reference)
}

/// The arm of a call, as the call's row has it.
pub fn noted(assigned: &Assigned) -> Assignment {
    Assignment {
        experiment: assigned.experiment.spec.name.shared(),
        arm: assigned.arm.name.shared(),
        propensity: assigned.propensity_in_millionths(),
        unit: assigned.unit,
    }
}
