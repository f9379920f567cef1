//! How Claude models are asked to think, wherever they are served.

use serde_json::{Value, json};

use crate::chat::{Effort, Emulated, Request, ToolChoice};

/// The least tokens that a thinking budget may be.
pub(super) const LEAST_BUDGET: u64 = 1_024;

/// Why a request that forces a call is refused, where [`forces_call`] holds.
pub(super) const NO_FORCED_CALL: &str = "while it thinks, no tool can be forced; turn thinking off or let it choose";

/// Whether a request has the model think and forces a tool's call, which Claude does not combine.
pub(super) fn forces_call(request: &Request) -> bool {
    matches!(request.tool_choice, Some(ToolChoice::Any | ToolChoice::Tool(_)))
        && request.reasoning.as_ref().is_some_and(|reasoning| !reasoning.is_off())
}

/// Why Claude refuses such a budget; `None` where Claude takes it.
pub(super) fn budget_fault(budget: u64, max_tokens: Option<u64>) -> Option<&'static str> {
    if budget < LEAST_BUDGET {
        Some("a thinking budget there is 1024 tokens or more")
    } else if max_tokens.is_some_and(|most| most <= budget) {
        Some("a thinking budget there must be below `max_tokens`")
    } else {
        None
    }
}

/// Claude's `thinking`: within a budget, or as much as the model sees fit.
pub(super) fn thinking(budget: Option<u64>) -> Value {
    match budget {
        None => json!({"type": "adaptive"}),
        Some(budget) => json!({"type": "enabled", "budget_tokens": budget}),
    }
}

/// An effort by the five names that Claude's APIs have. Claude lacks the smallest effort, which is noted as emulated.
pub(super) fn effort(effort: Effort, emulated: &mut Emulated) -> &'static str {
    if effort == Effort::Minimal {
        emulated.note("reasoning_effort");
        return Effort::Low.text();
    }
    effort.text()
}

/// Claude's `display`: whether the answer shows the thoughts.
pub(super) fn display(shows: bool) -> &'static str {
    if shows { "summarized" } else { "omitted" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lies_between_the_least_and_the_limit_of_the_answer() {
        for (budget, max_tokens, is_taken) in
            [(1_023, None, false), (1_024, None, true), (1_024, Some(1_025), true), (1_024, Some(1_024), false)]
        {
            assert_eq!(budget_fault(budget, max_tokens).is_none(), is_taken, "{budget} of {max_tokens:?}");
        }
    }
}
