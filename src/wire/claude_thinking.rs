//! How Claude models are asked to think, wherever they are served.

use serde_json::{Value, json};

use super::capabilities::{Capabilities, Thinking, effort_of, nearest};
use crate::chat::{Effort, Emulated, Reasoning, Request, ToolChoice};

/// The least tokens that a thinking budget may be.
pub(super) const LEAST_BUDGET: u64 = 1_024;

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

/// A field that cannot be written, and why.
pub(super) type Refused = (&'static str, &'static str);

/// Whether a request forces a tool's call of a model that thinks, which Claude does not combine.
pub(super) fn forces_call(request: &Request, known: &Capabilities) -> bool {
    let thinks = request.reasoning.as_ref().is_some_and(|reasoning| !reasoning.is_off());
    matches!(request.tool_choice, Some(ToolChoice::Any | ToolChoice::Tool(_)))
        && (!known.forced_calls || thinks && known.thinking != Thinking::Never)
}

/// How the model of a request is asked to think.
///
/// # Errors
/// Where its budget is none that Claude takes.
pub(super) fn ask(request: &Request, known: &Capabilities, emulated: &mut Emulated) -> Result<Asked, Refused> {
    let Some(reasoning) = &request.reasoning else { return Ok(Asked::default()) };
    match known.thinking {
        Thinking::Never => {
            if !reasoning.is_off() {
                emulated.note("reasoning_effort");
            }
            Ok(Asked::default())
        }
        Thinking::Budget { .. } => within_budget(request, reasoning, known, emulated),
        Thinking::Adaptive { budget, off } => adaptive(request, reasoning, (known, budget, off), emulated),
        Thinking::Unknown | Thinking::Effort => adaptive(request, reasoning, (known, true, Some("disabled")), emulated),
    }
}

fn within_budget(
    request: &Request,
    reasoning: &Reasoning,
    known: &Capabilities,
    emulated: &mut Emulated,
) -> Result<Asked, Refused> {
    if reasoning.is_off() {
        return Ok(Asked { thinking: Some(json!({"type": "disabled"})), ..Asked::default() });
    }
    let budget = match reasoning.budget {
        Some(budget) => checked(budget, request.max_tokens)?,
        None => {
            emulated.note("reasoning_effort");
            let Some(budget) = budget_of(reasoning.effort, request.max_tokens) else { return Ok(Asked::default()) };
            budget
        }
    };
    // These models always show their thoughts.
    if reasoning.tell == Some(false) {
        emulated.note("reasoning.summary");
    }
    let effort = reasoning.effort.filter(|_| !known.efforts.is_empty());
    Ok(Asked {
        thinking: Some(json!({"type": "enabled", "budget_tokens": budget})),
        effort: effort.map(|effort| known.effort(effort, emulated).text()),
        budget: Some(budget),
    })
}

fn adaptive(
    request: &Request,
    reasoning: &Reasoning,
    (known, takes_budget, off): (&Capabilities, bool, Option<&'static str>),
    emulated: &mut Emulated,
) -> Result<Asked, Refused> {
    if reasoning.is_off() {
        if off != Some("disabled") {
            emulated.note("reasoning_effort");
        }
        return Ok(match off {
            Some(off) => Asked { thinking: Some(json!({"type": off})), ..Asked::default() },
            None => {
                let effort = Some(known.effort(Effort::Low, emulated).text());
                Asked { thinking: Some(json!({"type": "adaptive"})), effort, budget: None }
            }
        });
    }
    let budget = reasoning.budget.filter(|_| takes_budget);
    let budget = budget.map(|budget| checked(budget, request.max_tokens)).transpose()?;
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
    Ok(Asked { thinking: Some(thinking), effort: effort.map(|effort| named(effort, known, emulated)), budget })
}

/// An effort by the names that Claude's APIs have. Claude lacks the smallest effort, which is noted as emulated.
fn named(effort: Effort, known: &Capabilities, emulated: &mut Emulated) -> &'static str {
    const ALL: [Effort; 5] = [Effort::Low, Effort::Medium, Effort::High, Effort::XHigh, Effort::Max];
    let efforts = if known.efforts.is_empty() { &ALL } else { known.efforts };
    nearest(efforts, effort, emulated).text()
}

/// A budget that Claude takes, or why it does not.
fn checked(budget: u64, max_tokens: Option<u64>) -> Result<u64, Refused> {
    if budget < LEAST_BUDGET {
        Err(("reasoning.budget", "a thinking budget there is 1024 tokens or more"))
    } else if max_tokens.is_some_and(|most| most <= budget) {
        Err(("reasoning.budget", "a thinking budget there must be below `max_tokens`"))
    } else {
        Ok(budget)
    }
}

/// A budget that stands for an effort, within the answer's own limit. `None` where the limit leaves no room to think.
fn budget_of(effort: Option<Effort>, most: Option<u64>) -> Option<u64> {
    let wanted = match effort {
        Some(Effort::None | Effort::Minimal | Effort::Low) => LEAST_BUDGET,
        None | Some(Effort::Medium) => 8_192,
        Some(Effort::High) => 16_384,
        Some(Effort::XHigh | Effort::Max) => 32_000,
    };
    match most {
        Some(most) if most <= LEAST_BUDGET => None,
        // Half of it stays for the answer.
        Some(most) => Some(wanted.min((most / 2).max(LEAST_BUDGET))),
        None => Some(wanted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lies_between_the_least_and_the_limit_of_the_answer() {
        for (budget, max_tokens, is_taken) in
            [(1_023, None, false), (1_024, None, true), (1_024, Some(1_025), true), (1_024, Some(1_024), false)]
        {
            assert_eq!(checked(budget, max_tokens).is_ok(), is_taken, "{budget} of {max_tokens:?}");
        }
    }
}
