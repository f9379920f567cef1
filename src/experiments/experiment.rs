//! An experiment over its time: what it was asked for, where it stands, what was decided.

use serde_json::{Value, json};

use super::look::Verdict;
use super::spec::Spec;
use crate::types::{ArmName, Share, Timestamp};

/// An experiment and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// What was asked for.
    pub spec: Spec,
    /// Where it stands.
    pub state: State,
    /// What its units are hashed with.
    pub salt: String,
    /// The part of each arm's units that takes part now.
    pub share: Share,
    /// Arms that were taken out: their units get the control, and count nowhere.
    pub off: Vec<ArmName>,
    /// Whether the winner has the label.
    pub is_promoted: bool,
    /// What was decided last.
    pub decision: Option<Decision>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// Since when its requests count: its start, or when it went on after it was frozen.
    pub counted_from: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Who made it, or changed it last.
    pub author: Author,
}

/// Who makes a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Author {
    /// The key's id.
    pub key_id: String,
    /// The name.
    pub name: String,
    /// Whether the key may move protected labels.
    pub admin: bool,
}

/// Where an experiment stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Made, and not begun.
    Draft,
    /// Under way.
    Running,
    /// Under way, and not decided any more until somebody starts it again.
    Frozen,
    /// An arm is better.
    Won,
    /// No arm is left that does no harm.
    Harmed,
    /// No arm differs by as much as matters.
    Equivalent,
    /// Somebody ended it.
    Stopped,
}

/// What was decided, when and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// When.
    pub at: Timestamp,
    /// The arm that it is about, where it is about one.
    pub arm: Option<ArmName>,
    /// A sentence with its figures.
    pub reason: String,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Draft, Self::Running, Self::Frozen, Self::Won, Self::Harmed, Self::Equivalent, Self::Stopped];

    /// The word for it in answers.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Running => "running",
            Self::Frozen => "frozen",
            Self::Won => "won",
            Self::Harmed => "harmed",
            Self::Equivalent => "equivalent",
            Self::Stopped => "stopped",
        }
    }
}

impl Experiment {
    /// Whether calls get arms by it.
    #[must_use]
    pub fn assigns(&self) -> bool {
        match self.state {
            State::Running | State::Frozen => true,
            // Until somebody ends it: the arms where the label did not move, else what is held back.
            State::Won => !self.is_promoted || self.spec.holdback > Share::default(),
            State::Harmed => !self.spec.rolls_back,
            State::Draft | State::Equivalent | State::Stopped => false,
        }
    }

    /// Whether an arm was taken out.
    #[must_use]
    pub fn is_off(&self, arm: &ArmName) -> bool {
        self.off.contains(arm)
    }

    /// The experiment after a look at `now`; `None` where nothing follows from that.
    #[must_use]
    pub fn after(&self, verdict: &Verdict, now: Timestamp) -> Option<Self> {
        if self.state != State::Running {
            return None;
        }
        let decided = |arm: Option<&ArmName>, reason: &str| {
            let decision = Decision { at: now, arm: arm.cloned(), reason: reason.to_owned() };
            Self { decision: Some(decision), ..self.clone() }
        };
        let ended = |state: State, after: Self| Self { state, ended_at: Some(now), ..after };
        Some(match verdict {
            Verdict::Wait => return None,
            Verdict::Freeze(reason) => Self { state: State::Frozen, ..decided(None, reason) },
            Verdict::Won(arm, reason) => {
                ended(State::Won, Self { is_promoted: self.spec.promotes, ..decided(Some(arm), reason) })
            }
            Verdict::Equivalent(reason) => ended(State::Equivalent, decided(None, reason)),
            Verdict::Harmed(arms, reason) => {
                let mut after = decided(arms.first(), reason);
                after.off.extend(arms.iter().filter(|arm| !self.is_off(arm)).cloned());
                let is_over = self.spec.candidates().iter().all(|arm| after.is_off(&arm.name));
                match is_over {
                    true => ended(State::Harmed, after),
                    false => after,
                }
            }
        })
    }

    /// The experiment as the API lists it; a look adds what its arms' samples say.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut value = self.spec.to_json();
        value["state"] = json!(self.state.text());
        value["share"] = json!(self.share);
        for arm in value["arms"].as_array_mut().into_iter().flatten() {
            let is_off = self.off.iter().any(|off| arm["name"] == *off.as_str());
            arm["is_off"] = json!(is_off);
        }
        value["is_promoted"] = json!(self.is_promoted);
        value["decision"] = self.decision.as_ref().map_or(Value::Null, Decision::to_json);
        value["created_at"] = json!(self.created_at);
        value["started_at"] = json!(self.started_at);
        value["counted_from"] = json!(self.counted_from);
        value["ended_at"] = json!(self.ended_at);
        value["author"] = json!(self.author.name);
        value["key_id"] = json!(self.author.key_id);
        value
    }
}

impl Decision {
    fn to_json(&self) -> Value {
        json!({"at": self.at, "arm": self.arm, "reason": self.reason})
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn experiment(changes: &Value) -> Experiment {
        let mut spec = json!({
            "name": "e", "prompt": "p", "metric": {"name": "resolved"}, "on_win": "promote", "holdback": 0.05,
            "arms": [{"name": "a", "version": 1}, {"name": "b", "version": 2}, {"name": "c", "version": 3}],
        });
        for (name, change) in changes.as_object().unwrap() {
            spec[name] = change.clone();
        }
        let spec = Spec::from_json(&spec).unwrap();
        Experiment {
            share: spec.share,
            spec,
            state: State::Running,
            salt: "salt".to_owned(),
            off: Vec::new(),
            is_promoted: false,
            decision: None,
            created_at: Timestamp(1),
            started_at: Some(Timestamp(2)),
            counted_from: Some(Timestamp(2)),
            ended_at: None,
            author: Author { key_id: "k".to_owned(), name: "ann".to_owned(), admin: true },
        }
    }

    fn arm(name: &str) -> ArmName {
        name.parse().unwrap()
    }

    #[test]
    fn a_verdict_changes_only_what_runs() {
        let running = experiment(&json!({}));
        assert_eq!(running.after(&Verdict::Wait, Timestamp(5)), None);
        for state in State::ALL.into_iter().filter(|state| *state != State::Running) {
            let other = Experiment { state, ..running.clone() };
            assert_eq!(other.after(&Verdict::Won(arm("b"), String::new()), Timestamp(5)), None, "{state:?}");
        }
        let won = running.after(&Verdict::Won(arm("b"), "why".to_owned()), Timestamp(5)).unwrap();
        assert_eq!((won.state, won.is_promoted, won.ended_at), (State::Won, true, Some(Timestamp(5))));
        assert_eq!(won.decision.clone().unwrap().arm, Some(arm("b")));
        let frozen = running.after(&Verdict::Freeze("why".to_owned()), Timestamp(5)).unwrap();
        assert!(frozen.assigns() && frozen.state == State::Frozen && frozen.ended_at.is_none());
    }

    #[test]
    fn harm_takes_arms_out_until_none_is_left() {
        let one =
            experiment(&json!({})).after(&Verdict::Harmed(vec![arm("b")], "why".to_owned()), Timestamp(5)).unwrap();
        assert!(one.state == State::Running && one.is_off(&arm("b")) && !one.is_off(&arm("c")));
        let all = one.after(&Verdict::Harmed(vec![arm("b"), arm("c")], "why".to_owned()), Timestamp(6)).unwrap();
        assert_eq!((all.state, all.off.len(), all.assigns()), (State::Harmed, 2, false));
        let reports = experiment(&json!({"on_harm": "report"}));
        let harmed = reports.after(&Verdict::Harmed(vec![arm("b"), arm("c")], String::new()), Timestamp(6)).unwrap();
        assert!(harmed.assigns());
    }

    #[test]
    fn a_win_assigns_on_where_something_is_held_back_or_nothing_moved() {
        let won = |changes: Value| {
            experiment(&changes).after(&Verdict::Won(arm("b"), String::new()), Timestamp(5)).unwrap().assigns()
        };
        assert!(won(json!({})) && won(json!({"on_win": "report", "holdback": 0.0})) && !won(json!({"holdback": 0.0})));
    }
}
