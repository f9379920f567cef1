//! How Claude models are asked to think, wherever they are served.

use serde_json::{Value, json};

use super::capabilities::{Capabilities, Thinking, effort_of, nearest};
use crate::chat::{Effort, Emulated, Reasoning, Request, ToolChoice};

/// The least tokens that a thinking budget may be.
const LEAST_BUDGET: u64 = 1_024;

/// The most tokens that a thinking budget may be at a model whose family names no bound: below what all of those write.
const MOST_BUDGET: u64 = 63_999;

/// The most tokens to write beside a budget where the caller sets no limit.
pub(super) const ROOM: u64 = 4_096;

/// Why a request that forces a call is refused, where [`forces_call`] holds.
pub(super) const NO_FORCED_CALL: &str = "while it thinks, no tool can be forced; turn thinking off or let it choose";

/// How a Claude is asked to think.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// The field `thinking`.
    pub(super) thinking: Option<Value>,
    /// How hard.
    pub(super) effort: Option<&'static str>,
    /// The budget, where there is one.
    pub(super) budget: Option<u64>,
}

/// Whether a request forces a tool's call of a model that thinks, which Claude does not combine.
pub(super) fn forces_call(request: &Request, known: &Capabilities) -> bool {
    let asked = request.reasoning.as_ref().filter(|_| !request.leaves_thinking);
    let thinks = asked.is_some_and(|reasoning| !reasoning.is_off());
    let choice = request.tool_choice.as_ref();
    matches!(choice, Some(ToolChoice::Any | ToolChoice::Tool(_) | ToolChoice::Allowed { must: true, .. }))
        && (!known.forced_calls || thinks && known.thinking != Thinking::Never)
}

/// How the model of a request is asked to think.
pub(super) fn ask(request: &Request, known: &Capabilities, emulated: &mut Emulated) -> Asked {
    let Some(reasoning) = &request.reasoning else { return Asked::default() };
    if request.leaves_thinking {
        return Asked { effort: effort_alone(reasoning, known, emulated), ..Asked::default() };
    }
    match known.thinking {
        Thinking::Never => {
            if !reasoning.is_off() {
                emulated.note("reasoning_effort");
            }
            Asked::default()
        }
        Thinking::Budget { most, .. } => within_budget(request, reasoning, (known, most), emulated),
        Thinking::Adaptive { budget, off } => adaptive(request, reasoning, (known, budget, off), emulated),
        Thinking::Unknown | Thinking::Effort => adaptive(request, reasoning, (known, true, Some("disabled")), emulated),
    }
}

/// An effort that does not ask to think, at a model that has efforts; other models work as they do without, which is noted.
fn effort_alone(reasoning: &Reasoning, known: &Capabilities, emulated: &mut Emulated) -> Option<&'static str> {
    if known.efforts.is_empty() && known.thinking != Thinking::Unknown {
        emulated.note("reasoning_effort");
        return None;
    }
    reasoning.effort.map(|effort| named(effort, known, emulated))
}

fn within_budget(
    request: &Request,
    reasoning: &Reasoning,
    (known, most): (&Capabilities, u64),
    emulated: &mut Emulated,
) -> Asked {
    if reasoning.is_off() {
        return Asked { thinking: Some(json!({"type": "disabled"})), ..Asked::default() };
    }
    let budget = match reasoning.budget {
        Some(budget) => fitted(budget, (request.max_tokens, most), emulated),
        None => {
            emulated.note("reasoning_effort");
            budget_of(reasoning.effort, (request.max_tokens, most))
        }
    };
    let Some(budget) = budget else { return Asked::default() };
    // These models always show their thoughts.
    if reasoning.tell == Some(false) {
        emulated.note("reasoning.summary");
    }
    let effort = reasoning.effort.filter(|_| !known.efforts.is_empty());
    Asked {
        thinking: Some(json!({"type": "enabled", "budget_tokens": budget})),
        effort: effort.map(|effort| known.effort(effort, emulated).text()),
        budget: Some(budget),
    }
}

fn adaptive(
    request: &Request,
    reasoning: &Reasoning,
    (known, takes_budget, off): (&Capabilities, bool, Option<&'static str>),
    emulated: &mut Emulated,
) -> Asked {
    if reasoning.is_off() {
        if off != Some("disabled") {
            emulated.note("reasoning_effort");
        }
        return match off {
            Some(off) => Asked { thinking: Some(json!({"type": off})), ..Asked::default() },
            None => {
                let effort = Some(known.effort(Effort::Low, emulated).text());
                Asked { thinking: Some(json!({"type": "adaptive"})), effort, budget: None }
            }
        };
    }
    let asked = reasoning.budget.filter(|_| takes_budget);
    let budget = asked.and_then(|budget| fitted(budget, (request.max_tokens, MOST_BUDGET), emulated));
    if asked.is_some() && budget.is_none() {
        return Asked::default();
    }
    let mut thinking = match budget {
        Some(budget) => json!({"type": "enabled", "budget_tokens": budget}),
        None => json!({"type": "adaptive"}),
    };
    if let Some(tell) = reasoning.tell {
        thinking["display"] = if tell { "summarized" } else { "omitted" }.into();
    }
    let instead = reasoning.budget.filter(|_| !takes_budget);
    if instead.is_some() {
        emulated.note("reasoning.budget");
    }
    let effort = reasoning.effort.or(instead.map(effort_of));
    Asked { thinking: Some(thinking), effort: effort.map(|effort| named(effort, known, emulated)), budget }
}

/// An effort by the names that Claude's APIs have. Claude lacks the smallest effort, which is noted as emulated.
fn named(effort: Effort, known: &Capabilities, emulated: &mut Emulated) -> &'static str {
    const ALL: [Effort; 5] = [Effort::Low, Effort::Medium, Effort::High, Effort::XHigh, Effort::Max];
    let efforts = if known.efforts.is_empty() { &ALL } else { known.efforts };
    nearest(efforts, effort, emulated).text()
}

/// A budget within these bounds: the answer's own limit, and the most of the model's generation. One that is moved is noted.
/// `None` where the limit leaves no room to think.
fn fitted(wanted: u64, bounds: (Option<u64>, u64), emulated: &mut Emulated) -> Option<u64> {
    let budget = within(wanted, bounds);
    if budget != Some(wanted) {
        emulated.note("reasoning.budget");
    }
    budget
}

fn within(wanted: u64, (limit, most): (Option<u64>, u64)) -> Option<u64> {
    let wanted = wanted.clamp(LEAST_BUDGET, most);
    match limit {
        Some(limit) if limit <= LEAST_BUDGET => None,
        Some(limit) if wanted < limit => Some(wanted),
        // Half of it stays for the answer.
        Some(limit) => Some((limit / 2).max(LEAST_BUDGET)),
        None => Some(wanted.min(most - ROOM)),
    }
}

/// A budget that stands for an effort, within the same bounds, and half of the answer's limit at most.
fn budget_of(effort: Option<Effort>, (limit, most): (Option<u64>, u64)) -> Option<u64> {
    let wanted = match effort {
        Some(Effort::None | Effort::Minimal | Effort::Low) => LEAST_BUDGET,
        None | Some(Effort::Medium) => 8_192,
        Some(Effort::High) => 16_384,
        Some(Effort::XHigh | Effort::Max) => 32_000,
    };
    within(limit.map_or(wanted, |limit| wanted.min(limit / 2)), (limit, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lies_between_the_least_and_the_limit_of_the_answer_and_one_that_is_moved_is_named() {
        for (wanted, limit, most, taken) in [
            (1, None, 31_999, Some(1_024)),
            (1_024, None, 31_999, Some(1_024)),
            (1_024, Some(1_025), 31_999, Some(1_024)),
            (1_024, Some(1_024), 31_999, None),
            (9_000, Some(9_000), 31_999, Some(4_500)),
            (9_000, Some(1_500), 31_999, Some(1_024)),
            (8_999, Some(9_000), 31_999, Some(8_999)),
            (40_000, Some(60_000), 31_999, Some(31_999)),
            (32_768, None, 31_999, Some(27_903)),
            (32_768, None, 63_999, Some(32_768)),
            (u64::MAX, None, 63_999, Some(59_903)),
        ] {
            let mut emulated = Emulated::default();
            assert_eq!(fitted(wanted, (limit, most), &mut emulated), taken, "{wanted} of {limit:?}");
            assert_eq!(emulated.names().is_empty(), taken == Some(wanted), "{wanted} of {limit:?}");
        }
        for (effort, limit, taken) in [
            (Effort::High, Some(20_000), Some(10_000)),
            (Effort::High, Some(1_024), None),
            (Effort::Low, Some(1_500), Some(1_024)),
            (Effort::Max, None, Some(27_903)),
        ] {
            assert_eq!(budget_of(Some(effort), (limit, 31_999)), taken, "{effort:?} of {limit:?}");
        }
    }
}
