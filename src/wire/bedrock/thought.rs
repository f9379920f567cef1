//! How much a model is to think: each family has fields of its own for that, beside Converse's.

use serde_json::{Map, Value, json};

use super::family::Family;
use crate::chat::{Effort, Emulated, Reasoning, Request};
use crate::wire::capabilities::{Capabilities, Thinking, effort_of, nearest};
use crate::wire::claude_thinking;

/// The efforts that most models have.
const THREE: [Effort; 3] = [Effort::Low, Effort::Medium, Effort::High];

/// The efforts that Claude's APIs have.
const FIVE: [Effort; 5] = [Effort::Low, Effort::Medium, Effort::High, Effort::XHigh, Effort::Max];

/// Writes how much to think: into the model's own fields, or beside the format of the output. A model that is not known to
/// think is asked without, which is noted.
pub(super) fn write(
    request: &Request,
    family: Family,
    emulated: &mut Emulated,
    (own, output): (&mut Map<String, Value>, &mut Map<String, Value>),
) {
    let Some(reasoning) = &request.reasoning else { return };
    let known = Capabilities::of(request);
    if family.is_claude() {
        write_claude(request, known, emulated, (own, output));
        return;
    }
    let off = reasoning.is_off();
    match family {
        Family::Nova2 => {
            let config = if off {
                json!({"type": "disabled"})
            } else {
                json!({"type": "enabled", "maxReasoningEffort": effort(reasoning, &THREE, emulated)})
            };
            own.insert("reasoningConfig".to_owned(), config);
        }
        Family::OpenAi if off && !known.efforts.contains(&Effort::None) => emulated.note("reasoning_effort"),
        Family::OpenAi => {
            let efforts = if known.efforts.is_empty() { &THREE } else { known.efforts };
            own.insert("reasoning_effort".to_owned(), effort(reasoning, efforts, emulated).into());
        }
        Family::Hidden if reasoning.effort.is_some() && !off => {
            output.insert("effort".to_owned(), effort(reasoning, &FIVE, emulated).into());
        }
        _ => emulated.note("reasoning_effort"),
    }
    if reasoning.tell.is_some() {
        emulated.note("reasoning.summary");
    }
}

fn write_claude(
    request: &Request,
    known: &Capabilities,
    emulated: &mut Emulated,
    (own, output): (&mut Map<String, Value>, &mut Map<String, Value>),
) {
    let asked = claude_thinking::ask(request, known, emulated);
    own.extend(asked.thinking.map(|thinking| ("thinking".to_owned(), thinking)));
    // The effort of a Claude that thinks by a budget is a beta there.
    let effort = asked.effort.filter(|_| !matches!(known.thinking, Thinking::Budget { .. }));
    if effort != asked.effort {
        emulated.note("reasoning_effort");
    }
    output.extend(effort.map(|effort| ("effort".to_owned(), effort.into())));
}

/// The effort that is asked for, in one of the names that the model has. One that stands for a budget is noted.
fn effort(reasoning: &Reasoning, efforts: &[Effort], emulated: &mut Emulated) -> &'static str {
    if reasoning.budget.is_some() {
        emulated.note("reasoning.budget");
    }
    let wanted = reasoning.effort.or(reasoning.budget.map(effort_of)).unwrap_or(Effort::Medium);
    nearest(efforts, wanted, emulated).text()
}
