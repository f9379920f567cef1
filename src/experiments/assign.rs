//! Which arm a call gets: of its unit alone, so that nothing is stored, and the same unit gets the same arm.

use std::sync::Arc;

use super::experiment::{Experiment, State};
use super::line::{Line, Place};
use super::spec::{Arm, UnitKind};

/// Whose call it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caller<'a> {
    /// The caller's user.
    pub user: Option<&'a str>,
    /// The session.
    pub session: Option<&'a str>,
    /// The virtual key's id.
    pub key: &'a str,
    /// The request's id.
    pub request: &'a str,
}

/// The arm of a call.
#[derive(Clone, Debug)]
pub struct Assigned {
    /// The experiment.
    pub experiment: Arc<Experiment>,
    /// What the call gets.
    pub arm: Arc<Arm>,
    /// The probability that its unit gets this arm.
    pub propensity: f64,
    /// The unit, as a number that is the same for all its calls in the experiment.
    pub unit: i64,
    /// What the unit is.
    pub unit_kind: UnitKind,
}

impl Assigned {
    /// `experiment:arm`.
    #[must_use]
    pub fn variant(&self) -> String {
        format!("{}:{}", self.experiment.spec.name, self.arm.name)
    }

    /// The propensity, as rows have it.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to a million")]
    pub fn propensity_in_millionths(&self) -> u32 {
        (self.propensity.clamp(0.0, 1.0) * 1_000_000.0).round() as u32
    }
}

/// An experiment by which calls get arms, ready for them.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) experiment: Arc<Experiment>,
    arms: Vec<Arc<Arm>>,
    line: Line,
}

impl UnitKind {
    /// The unit of a caller, and its kind: the first that the call has, from this kind on.
    #[must_use]
    pub fn of<'a>(self, caller: &Caller<'a>) -> (Self, &'a str) {
        let kinds = Self::ALL.into_iter().skip_while(|kind| *kind != self);
        let mut units = kinds.filter_map(|kind| Some((kind, kind.value(caller)?)));
        units.next().unwrap_or((Self::Request, caller.request))
    }

    fn value<'a>(self, caller: &Caller<'a>) -> Option<&'a str> {
        match self {
            Self::User => caller.user,
            Self::Session => caller.session,
            Self::Key => Some(caller.key),
            Self::Request => Some(caller.request),
        }
    }
}

impl Live {
    pub(super) fn of(experiment: Arc<Experiment>) -> Self {
        let spec = &experiment.spec;
        let line = Line::of(&spec.arms, experiment.share, spec.holdback);
        let arms = spec.arms.iter().cloned().map(Arc::new).collect();
        Self { arms, line, experiment }
    }

    /// The arm of a call; `None` where the experiment leaves the call to the label.
    pub(super) fn assign(&self, caller: &Caller<'_>) -> Option<Assigned> {
        let spec = &self.experiment.spec;
        let (unit_kind, unit) = spec.unit.of(caller);
        let unit = Place::of(&self.experiment.salt, unit);
        let point = unit.point();
        let (place, propensity) = match (self.experiment.state, self.experiment.is_promoted) {
            (State::Won, true) if self.line.is_held(point) => (0, self.line.holdback()),
            // Its version has the label; its calls are still its arm's, beside what is held back.
            (State::Won, true) => (self.winner()?, 1.0 - self.line.holdback()),
            _ => {
                let place = self.line.arm_at(point)?;
                (place, self.line.propensity(place))
            }
        };
        let arm = &self.arms[place];
        let is_off = self.experiment.is_off(&arm.name);
        let unit = unit.number();
        (!is_off).then(|| Assigned {
            experiment: self.experiment.clone(),
            arm: arm.clone(),
            propensity,
            unit,
            unit_kind,
        })
    }

    fn winner(&self) -> Option<usize> {
        let winner = self.experiment.decision.as_ref()?.arm.as_ref()?;
        self.arms.iter().position(|arm| arm.name == *winner)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::experiments::Verdict;
    use crate::experiments::experiment::tests::experiment;
    use crate::types::Timestamp;

    fn user(user: &str) -> Caller<'_> {
        Caller { user: Some(user), session: Some("s"), key: "k", request: "r" }
    }

    /// How many of 2,000 users get each arm; the last is of those who get none.
    fn shares(experiment: Experiment) -> Vec<usize> {
        let live = Live::of(Arc::new(experiment));
        let mut counts = vec![0; live.arms.len() + 1];
        for n in 0..2_000 {
            let assigned = live.assign(&user(&n.to_string()));
            let place = assigned.and_then(|got| live.arms.iter().position(|arm| arm.name == got.arm.name));
            counts[place.unwrap_or(live.arms.len())] += 1;
        }
        counts
    }

    #[test]
    fn a_unit_is_the_first_that_the_call_has() {
        let nobody = Caller { user: None, ..user("") };
        assert_eq!(UnitKind::User.of(&user("u")), (UnitKind::User, "u"));
        assert_eq!(UnitKind::User.of(&nobody), (UnitKind::Session, "s"));
        assert_eq!(UnitKind::User.of(&Caller { session: None, ..nobody }), (UnitKind::Key, "k"));
        assert_eq!(UnitKind::Session.of(&user("u")), (UnitKind::Session, "s"));
        assert_eq!(UnitKind::Request.of(&user("u")), (UnitKind::Request, "r"));
    }

    #[test]
    fn a_unit_keeps_its_arm_and_another_salt_deals_anew() {
        let live = |salt: &str| Live::of(Arc::new(Experiment { salt: salt.to_owned(), ..experiment(&json!({})) }));
        let arms = |live: &Live| -> Vec<Option<String>> {
            (0..50).map(|n| live.assign(&user(&n.to_string())).map(|got| got.arm.name.to_string())).collect()
        };
        assert_eq!(arms(&live("salt")), arms(&live("salt")));
        assert_ne!(arms(&live("salt")), arms(&live("other")));
    }

    #[test]
    fn units_are_shared_out_by_weights_share_and_holdback() {
        let near = |counts: &[usize], expected: &[usize]| {
            assert!(counts.iter().zip(expected).all(|(count, expected)| count.abs_diff(*expected) < 90), "{counts:?}");
        };
        near(&shares(experiment(&json!({"holdback": 0.0}))), &[667, 667, 667, 0]);
        near(&shares(experiment(&json!({"holdback": 0.1, "share": 0.5}))), &[300, 300, 300, 1_100]);
        let b: crate::types::ArmName = "b".parse().unwrap();
        let off = Experiment { off: vec![b.clone()], ..experiment(&json!({"holdback": 0.0})) };
        near(&shares(off), &[667, 0, 667, 667]);
        let running = experiment(&json!({"holdback": 0.1, "share": 0.5}));
        let won = running.after(&Verdict::Won(b, String::new()), Timestamp(9)).unwrap();
        near(&shares(won), &[200, 1_800, 0, 0]);
    }
}
