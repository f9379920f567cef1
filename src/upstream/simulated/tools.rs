//! Which tools an answer calls, and with what.

use serde_json::Value;

use super::ask::{Ask, Choice, Tool};
use super::dice::Dice;
use super::schema;
use super::words::{Facts, is_small, words};

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) name: String,
    /// JSON, as text.
    pub(super) arguments: String,
}

/// The most calls in one answer.
const MOST: usize = 8;

/// The calls of an answer; none where it is text.
pub(super) fn calls(ask: &Ask<'_>, facts: &Facts, dice: &mut Dice) -> Vec<Call> {
    let mut wanted: Vec<&Tool<'_>> = chosen(ask, facts);
    // One tool and two names, "in Paris and London", are two calls.
    if let [only] = wanted[..] {
        let times = if takes_a_name(only) { facts.names.len().clamp(1, 4) } else { 1 };
        wanted = vec![only; times];
    }
    wanted.truncate(if ask.parallel { MOST } else { 1 });
    let same = wanted.windows(2).all(|pair| pair[0].name == pair[1].name);
    let calls = wanted.iter().enumerate().map(|(i, tool)| {
        let mut arguments =
            schema::instance(tool.parameters, facts, if same { i } else { 0 }, &mut dice.fork(tool.name));
        if !arguments.is_object() {
            arguments = Value::Object(serde_json::Map::new());
        }
        Call {
            id: format!("call_sim_{:016x}", dice.next()),
            name: tool.name.to_owned(),
            arguments: arguments.to_string(),
        }
    });
    calls.collect()
}

fn chosen<'a, 'b>(ask: &'b Ask<'a>, facts: &Facts) -> Vec<&'b Tool<'a>> {
    let mentioned = || ask.tools.iter().filter(|tool| is_mentioned(tool.name, facts)).collect::<Vec<_>>();
    match ask.choice {
        Choice::None => Vec::new(),
        Choice::Named(name) => ask.tools.iter().filter(|tool| tool.name == name).take(1).collect(),
        Choice::Auto if ask.tool_result().is_some() => Vec::new(),
        Choice::Auto => mentioned(),
        Choice::Required => {
            let mentioned = mentioned();
            if mentioned.is_empty() { nearest(&ask.tools, facts).into_iter().collect() } else { mentioned }
        }
    }
}

fn nearest<'a, 'b>(tools: &'b [Tool<'a>], facts: &Facts) -> Option<&'b Tool<'a>> {
    let fit = |tool: &Tool<'_>| facts.likeness(&format!("{} {}", tool.name, tool.description));
    tools.iter().rev().max_by_key(|tool| fit(tool))
}

/// By its whole name, or by the words of its name that are no plain verbs: "weather" for `get_weather`.
fn is_mentioned(name: &str, facts: &Facts) -> bool {
    const VERBS: &[&str] =
        &["get", "set", "find", "fetch", "look", "lookup", "query", "retrieve", "run", "call", "tool", "current"];
    if facts.says(&name.to_lowercase()) {
        return true;
    }
    let telling: Vec<String> = words(name).filter(|word| !VERBS.contains(&word.as_str()) && !is_small(word)).collect();
    !telling.is_empty() && telling.iter().all(|word| facts.mentions(word))
}

fn takes_a_name(tool: &Tool<'_>) -> bool {
    let fields = tool.parameters.get("properties").and_then(Value::as_object);
    let named = |key: &String| ["city", "location", "place", "country", "name"].iter().any(|word| key.contains(word));
    fields.is_some_and(|fields| fields.keys().any(named))
}
