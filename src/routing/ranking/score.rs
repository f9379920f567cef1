//! How a strategy rates a target, and how an explanation shows that.

use serde::Serialize;
use serde_json::{Value, json};

use crate::routing::figures::{Expected, Load};
use crate::routing::signals::{Figure, PROBED};

/// How a strategy rates a target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Score {
    /// What the call is expected to cost.
    Cost(Expected),
    /// The time to the first token; `None` where none was measured.
    FirstToken(Option<Figure>),
    /// How busy the target's provider is, and how many of the calls are the target's own.
    Load(Load, usize),
    /// The place that the prompt's beginning has at the target: the highest is its home.
    Prefix(f64),
}

impl Score {
    /// Whether it is a time that is not known, or no more.
    pub(in crate::routing) fn is_cold(self) -> bool {
        matches!(self, Self::FirstToken(figure) if !figure.is_some_and(Figure::is_fresh))
    }
}

/// A score as an explanation shows it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// The figure; `None` where it is unknown.
    pub value: Option<Value>,
    /// What the figure is in.
    pub unit: &'static str,
    /// How it came about, and what follows where it is unknown.
    pub why: String,
}

impl From<Score> for Scored {
    fn from(score: Score) -> Self {
        match score {
            Score::Cost(Expected { input, output, cost }) => {
                let why = match cost {
                    Some(_) => format!("about {input} tokens are read, and {output} are expected to be written"),
                    None => "no price is known, so every target with a price goes before".to_owned(),
                };
                Self { value: cost.map(|cost| json!(cost)), unit: "usd", why }
            }
            Score::FirstToken(figure) => first_token(figure),
            Score::Load(load, own) => {
                let Load { in_flight, most, others } = load;
                let others = others.map_or_else(String::new, |others| format!(", {others} of others at its server"));
                let why =
                    format!("{in_flight} of {most} calls of its provider are under way{others}; {own} are its own");
                Self { value: Some(json!(rounded(load.ratio(), 1e4))), unit: "share of places taken", why }
            }
            Score::Prefix(score) => {
                let why = "a hash of the prompt's beginning and the target, by its weight: the highest goes first";
                Self { value: Some(json!(rounded(score, 1e4))), unit: "hash", why: why.to_owned() }
            }
        }
    }
}

fn first_token(figure: Option<Figure>) -> Scored {
    let unit = "ms to the first token";
    let probed = format!("such targets get {} % of the calls", PROBED * 100.0);
    let Some(figure) = figure else {
        return Scored { value: None, unit, why: format!("nothing is measured yet: {probed}") };
    };
    let value = Some(json!(rounded(figure.time.as_secs_f64() * 1e3, 10.0)));
    let seconds = figure.age.as_secs();
    let why = match figure.is_fresh() {
        true => format!("a mean of the last calls, the last {seconds} s ago"),
        false => format!("measured {seconds} s ago, which is too old to count: {probed}"),
    };
    Scored { value, unit, why }
}

fn rounded(number: f64, scale: f64) -> f64 {
    (number * scale).round() / scale
}
