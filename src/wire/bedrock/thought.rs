//! How much a model is to think: each family has fields of its own for that, beside Converse's.

use serde_json::{Map, Value, json};

use super::family::Family;
use super::idiom::not_here;
use crate::chat::{Effort, Emulated, Reasoning, Request};
use crate::wire::claude_thinking::{self, LEAST_BUDGET};
use crate::wire::fields::FieldError;

/// Writes how much to think: into the model's own fields, or beside the format of the output.
pub(super) fn write(
    request: &Request,
    family: Family,
    emulated: &mut Emulated,
    own: &mut Map<String, Value>,
    output: &mut Map<String, Value>,
) -> Result<(), FieldError> {
    let Some(reasoning) = &request.reasoning else { return Ok(()) };
    let off = reasoning.is_off();
    match family {
        family if family.is_claude() => {
            let thinking =
                if off { json!({"type": "disabled"}) } else { claude(request, reasoning, family, emulated)? };
            own.insert("thinking".to_owned(), thinking);
            if family == Family::Claude && !off {
                output.extend(
                    reasoning
                        .effort
                        .map(|effort| ("effort".to_owned(), claude_thinking::effort(effort, emulated).into())),
                );
            }
        }
        _ if off && family != Family::Nova2 => emulated.note("reasoning_effort"),
        _ if reasoning.budget.is_some() => {
            return Err(not_here("reasoning.budget", "this model is not known to take a budget"));
        }
        Family::Nova2 => {
            let config = match reasoning.effort.filter(|_| !off) {
                None if off => json!({"type": "disabled"}),
                effort => json!({"type": "enabled", "maxReasoningEffort": three(effort, emulated)}),
            };
            own.insert("reasoningConfig".to_owned(), config);
        }
        Family::OpenAi => {
            own.insert("reasoning_effort".to_owned(), three(reasoning.effort, emulated).into());
        }
        Family::Hidden if reasoning.effort.is_some() => {
            output.extend(
                reasoning.effort.map(|effort| ("effort".to_owned(), claude_thinking::effort(effort, emulated).into())),
            );
        }
        _ => return Err(not_here("reasoning_effort", "this model is not known to take it")),
    }
    if reasoning.tell.is_some() && !family.is_claude() {
        emulated.note("reasoning.summary");
    }
    Ok(())
}

/// Claude's own `thinking`.
fn claude(
    request: &Request,
    reasoning: &Reasoning,
    family: Family,
    emulated: &mut Emulated,
) -> Result<Value, FieldError> {
    let budget = match reasoning.budget {
        None if family == Family::Claude => None,
        None => {
            emulated.note("reasoning_effort");
            Some(budget_of(reasoning.effort, request.max_tokens)?)
        }
        Some(budget) => match claude_thinking::budget_fault(budget, request.max_tokens) {
            Some(fault) => return Err(not_here("reasoning.budget", fault)),
            None => Some(budget),
        },
    };
    let mut thinking = claude_thinking::thinking(budget);
    match reasoning.tell {
        Some(tell) if family == Family::Claude => {
            thinking["display"] = claude_thinking::display(tell).into();
        }
        Some(false) => emulated.note("reasoning.summary"),
        // The others always show their thoughts.
        None | Some(true) => {}
    }
    Ok(thinking)
}

/// A budget that stands for an effort, within the answer's own limit.
fn budget_of(effort: Option<Effort>, most: Option<u64>) -> Result<u64, FieldError> {
    let wanted = match effort {
        Some(Effort::None | Effort::Minimal | Effort::Low) => LEAST_BUDGET,
        None | Some(Effort::Medium) => 8_192,
        Some(Effort::High) => 16_384,
        Some(Effort::XHigh | Effort::Max) => 32_000,
    };
    match most {
        Some(most) if most <= LEAST_BUDGET => {
            Err(not_here("reasoning_effort", "this model thinks within `max_tokens`, which must be above 1024"))
        }
        // Half of it stays for the answer.
        Some(most) => Ok(wanted.min((most / 2).max(LEAST_BUDGET))),
        None => Ok(wanted),
    }
}

/// An effort by the three names that most models have.
fn three(effort: Option<Effort>, emulated: &mut Emulated) -> &'static str {
    let (name, is_exact) = match effort {
        None | Some(Effort::Medium) => ("medium", true),
        Some(Effort::Low) => ("low", true),
        Some(Effort::None | Effort::Minimal) => ("low", false),
        Some(Effort::High) => ("high", true),
        Some(Effort::XHigh | Effort::Max) => ("high", false),
    };
    if !is_exact {
        emulated.note("reasoning_effort");
    }
    name
}
