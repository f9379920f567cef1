//! What an experiment is, as its author wrote it; `read.rs` checks it.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::metric::{Better, Metric};
use crate::types::{ArmName, ExperimentName, Label, ModelName, PromptName, Share};

/// An experiment as its author wrote it, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Spec {
    /// Its name.
    pub name: ExperimentName,
    /// The prompt whose calls it takes.
    pub prompt: PromptName,
    /// The label by which they call it.
    pub label: Label,
    /// Two or more, of which the first is the control: what callers get without the experiment.
    pub arms: Vec<Arm>,
    /// What keeps its arm.
    pub unit: UnitKind,
    /// The part of each arm's units that takes part at the start.
    pub share: Share,
    /// What decides.
    pub goal: Goal,
    /// What must not get worse.
    pub guardrails: Vec<Guardrail>,
    /// The probability of deciding though no arm differs.
    pub alpha: f64,
    /// Units of each arm before anything is decided.
    pub min_samples: u64,
    /// Time before an arm may win.
    pub min_duration: Duration,
    /// Whether a winner gets the label.
    pub promotes: bool,
    /// Whether an arm that does harm gets no more calls.
    pub rolls_back: bool,
    /// The part of the units that stays on the control after a win.
    pub holdback: Share,
}

/// A release: what a call gets that the experiment assigns to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Arm {
    /// Its name.
    pub name: ArmName,
    /// The prompt's version.
    pub version: u32,
    /// The model or route that it calls; `None` leaves the version's own.
    pub model: Option<ModelName>,
    /// Request fields that stand before the version's own.
    pub settings: Map<String, Value>,
    /// Its weight among the arms.
    pub weight: u32,
}

/// What keeps its arm over calls. Where a call has none, the next does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitKind {
    /// The caller's user.
    User,
    /// The session.
    Session,
    /// The virtual key.
    Key,
    /// The request itself.
    Request,
}

/// The metric that decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// Which.
    pub metric: Metric,
    /// Which way is good.
    pub better: Better,
    /// Arms that differ by less are equivalent, in the metric's unit; `None` where that ends nothing.
    pub margin: Option<f64>,
}

/// A metric in which an arm must not be worse than the control by its margin or more.
#[derive(Clone, Debug, PartialEq)]
pub struct Guardrail {
    /// Which.
    pub metric: Metric,
    /// Which way is good.
    pub better: Better,
    /// By how much it may be worse.
    pub margin: Margin,
}

/// How much worse a guardrail lets an arm be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Margin {
    /// By this much, in the metric's unit.
    By(f64),
    /// By this part of what the control has.
    Part(f64),
}

impl UnitKind {
    /// All of them, in the order in which one stands in for the one before.
    pub const ALL: [Self; 4] = [Self::User, Self::Session, Self::Key, Self::Request];

    /// The word for it in requests.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Session => "session",
            Self::Key => "key",
            Self::Request => "request",
        }
    }
}

impl Arm {
    /// Whether a call gets the same by either.
    #[must_use]
    pub fn is_same_release(&self, other: &Self) -> bool {
        self.version == other.version && self.model == other.model && self.settings == other.settings
    }

    /// The settings that hold with this arm, over the `own` ones of its version.
    #[must_use]
    pub fn settings_over(&self, own: &Map<String, Value>) -> Map<String, Value> {
        let mut settings = own.clone();
        settings.extend(self.settings.iter().map(|(name, value)| (name.clone(), value.clone())));
        if let Some(model) = &self.model {
            settings.insert("model".to_owned(), model.as_str().into());
        }
        settings
    }

    /// Whether it has settings of its own, so that it is more than a version of its prompt.
    #[must_use]
    pub fn is_more_than_a_version(&self) -> bool {
        self.model.is_some() || !self.settings.is_empty()
    }

    fn to_json(&self) -> Value {
        let mut arm = json!({"name": self.name, "version": self.version, "weight": self.weight});
        if let Some(model) = &self.model {
            arm["model"] = json!(model);
        }
        if !self.settings.is_empty() {
            arm["settings"] = json!(self.settings);
        }
        arm
    }
}

impl Spec {
    /// The control: the first arm.
    #[must_use]
    pub fn control(&self) -> &Arm {
        &self.arms[0]
    }

    /// The arms that are compared with it.
    #[must_use]
    pub fn candidates(&self) -> &[Arm] {
        &self.arms[1..]
    }

    /// The experiment as the API writes it, and as it is stored. With every weight.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut goal = json!({"name": self.goal.metric.name(), "better": self.goal.better.text()});
        if let Some(margin) = self.goal.margin {
            goal["margin"] = json!(margin);
        }
        let guardrails = self.guardrails.iter().map(|guardrail| {
            let (name, margin) = match guardrail.margin {
                Margin::By(margin) => ("margin", margin),
                Margin::Part(margin) => ("margin_ratio", margin),
            };
            json!({"metric": guardrail.metric.name(), "better": guardrail.better.text(), name: margin})
        });
        json!({
            "name": self.name, "prompt": self.prompt, "label": self.label,
            "arms": self.arms.iter().map(Arm::to_json).collect::<Vec<_>>(),
            "unit": self.unit.text(), "share": self.share, "metric": goal,
            "guardrails": guardrails.collect::<Vec<_>>(),
            "alpha": self.alpha, "min_samples": self.min_samples,
            "min_duration": format!("{}ms", self.min_duration.as_millis()),
            "on_win": if self.promotes { "promote" } else { "report" },
            "on_harm": if self.rolls_back { "roll_back" } else { "report" },
            "holdback": self.holdback,
        })
    }
}
