//! How much a model is to think: a budget of tokens before Gemini 3, a level from then on.

use serde_json::{Map, Value};

use super::bounds::MOST;
use crate::chat::{Effort, Emulated, Reasoning};
use crate::wire::capabilities::{Capabilities, Thinking, effort_of, nearest};

/// The levels that there are.
const LEVELS: [Effort; 4] = [Effort::Minimal, Effort::Low, Effort::Medium, Effort::High];

/// The budget that stands for the most effort, where the model has no bound of its own.
const MOST_TOKENS: u64 = 24_576;

/// Writes `thinkingConfig`; `None` where there is nothing to write.
pub(super) fn write(reasoning: &Reasoning, known: &Capabilities, emulated: &mut Emulated) -> Option<Value> {
    if reasoning.budget.is_some() && reasoning.effort.is_some() {
        // The two exclude each other; the budget says more.
        emulated.note("reasoning_effort");
    }
    let mut out = Map::new();
    if known.thinking == Thinking::Never {
        if !reasoning.is_off() {
            emulated.note("reasoning_effort");
        }
        return None;
    }
    if let Some(tell) = reasoning.tell {
        out.insert("includeThoughts".to_owned(), tell.into());
    }
    let (name, value) = match known.thinking {
        Thinking::Budget { least, most, off } => ("thinkingBudget", tokens(reasoning, (least, most, off), emulated)),
        Thinking::Effort => ("thinkingLevel", level(reasoning, known, emulated)),
        _ if reasoning.is_off() || reasoning.budget.is_some() => {
            ("thinkingBudget", tokens(reasoning, (1, MOST, true), emulated))
        }
        _ => ("thinkingLevel", reasoning.effort.map(|effort| named(nearest(&LEVELS, effort, emulated)))),
    };
    out.extend(value.map(|value| (name.to_owned(), value)));
    (!out.is_empty()).then(|| out.into())
}

/// A budget within the model's bounds. One that is moved is noted.
fn tokens(reasoning: &Reasoning, (least, most, off): (u64, u64, bool), emulated: &mut Emulated) -> Option<Value> {
    if reasoning.is_off() {
        if !off {
            emulated.note(if reasoning.budget.is_some() { "reasoning.budget" } else { "reasoning_effort" });
        }
        return Some(if off { 0 } else { least }.into());
    }
    if let Some(budget) = reasoning.budget {
        let within = budget.clamp(least, most);
        if within != budget {
            emulated.note("reasoning.budget");
        }
        return Some(within.into());
    }
    let tokens = match reasoning.effort? {
        Effort::None | Effort::Minimal | Effort::Low => 1_024,
        Effort::Medium => 8_192,
        Effort::High => MOST_TOKENS,
        Effort::XHigh | Effort::Max => {
            emulated.note("reasoning_effort");
            most
        }
    };
    Some(tokens.clamp(least, most).into())
}

/// A level that the model has. One that stands for a budget, or for another, is noted.
fn level(reasoning: &Reasoning, known: &Capabilities, emulated: &mut Emulated) -> Option<Value> {
    if reasoning.budget.is_some() {
        emulated.note("reasoning.budget");
    }
    let wanted = reasoning.budget.map(effort_of).or(reasoning.effort)?;
    let levels = if known.efforts.is_empty() { &LEVELS } else { known.efforts };
    // Google's own translation of an effort gives a model of two levels the higher one.
    let is_between = wanted == Effort::Medium && !levels.contains(&wanted);
    let level = nearest(levels, wanted, emulated);
    Some(named(if is_between { Effort::High } else { level }))
}

fn named(level: Effort) -> Value {
    level.text().to_ascii_uppercase().into()
}
