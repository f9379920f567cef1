//! Writes a made-up chat completion as OpenAI does: one object, or events.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::Ask;
use super::chat::{Choice, Usage};
use super::dice::Dice;
use super::tokens;
use crate::types::now;

/// What every object of one answer carries.
pub(super) struct Head<'a> {
    pub(super) id: String,
    pub(super) created: u64,
    pub(super) model: &'a str,
}

impl<'a> Head<'a> {
    /// The id is made up too; the time is when the answer is made.
    pub(super) fn new(model: &'a str, dice: &Dice) -> Self {
        let mut dice = dice.fork("head");
        Self {
            id: format!("chatcmpl-sim-{:016x}", dice.next()),
            created: u64::try_from(now().0 / 1_000_000).unwrap_or_default(),
            model,
        }
    }
}

/// An answer without the moment that it was made at.
#[cfg(test)]
pub(super) fn timeless(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let mut parts = text.split("\"created\":");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |out, part| out + part.trim_start_matches(|letter: char| letter.is_ascii_digit()))
}

/// The whole answer.
pub(super) fn whole(head: &Head<'_>, ask: &Ask<'_>, choices: &[Choice], usage: Usage, dice: &Dice) -> Bytes {
    let choices: Vec<Value> = choices
        .iter()
        .enumerate()
        .map(|(i, choice)| {
            let mut message =
                json!({"role": "assistant", "content": choice.content, "refusal": null, "annotations": []});
            if !choice.calls.is_empty() {
                message["tool_calls"] = choice.calls.iter().map(|call| full_call(None, call.into())).collect();
            }
            let logprobs = choice.content.as_ref().and_then(|content| {
                let (top, dice) = (ask.logprobs?, &mut dice.fork(&format!("logprobs {i}")));
                Some(json!({"content": logprobs(&tokens::split(content), top, dice), "refusal": null}))
            });
            json!({"index": i, "message": message, "logprobs": logprobs, "finish_reason": choice.finish})
        })
        .collect();
    json!({
        "id": head.id, "object": "chat.completion", "created": head.created, "model": head.model, "choices": choices,
        "usage": usage.json(), "service_tier": "default", "system_fingerprint": "fp_simulated",
    })
    .to_string()
    .into()
}

/// The events of a stream, each with its time from the beginning; the first one carries the role.
pub(super) fn events(
    head: &Head<'_>,
    ask: &Ask<'_>,
    choices: &[Choice],
    usage: Usage,
    (gap, dice): (Duration, &Dice),
) -> Vec<(Duration, Bytes)> {
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({
            "id": head.id, "object": "chat.completion.chunk", "created": head.created, "model": head.model,
            "service_tier": "default", "system_fingerprint": "fp_simulated", "choices": choices,
        });
        if ask.include_usage {
            chunk["usage"] = usage;
        }
        Bytes::from(format!("data: {chunk}\n\n"))
    };
    let parts: Vec<Vec<Value>> =
        choices.iter().enumerate().map(|(i, choice)| choice_parts(i, choice, ask, dice)).collect();
    let longest = parts.iter().map(Vec::len).max().unwrap_or(0);
    let mut events = Vec::with_capacity(parts.len() * longest + 2);
    // Several answers come side by side.
    for step in 0..longest {
        for part in parts.iter().filter_map(|parts| parts.get(step)) {
            events.push((gap * u32::try_from(step).unwrap_or(u32::MAX), chunk(json!([part]), Value::Null)));
        }
    }
    let end = events.last().map_or(Duration::ZERO, |(at, _)| *at);
    if ask.include_usage {
        events.push((end, chunk(json!([]), usage.json())));
    }
    events.push((end, Bytes::from_static(b"data: [DONE]\n\n")));
    events
}

/// What one answer puts into its chunks, one by one.
fn choice_parts(i: usize, choice: &Choice, ask: &Ask<'_>, dice: &Dice) -> Vec<Value> {
    let part = |delta: Value, logprobs: Value, finish: Option<&str>| json!({"index": i, "delta": delta, "logprobs": logprobs, "finish_reason": finish});
    let start = if choice.calls.is_empty() { json!("") } else { Value::Null };
    let mut parts = vec![part(json!({"role": "assistant", "content": start, "refusal": null}), Value::Null, None)];
    let mut dice = dice.fork(&format!("logprobs {i}"));
    for token in tokens::split(choice.content.as_deref().unwrap_or_default()) {
        let logprobs = match ask.logprobs {
            Some(top) => json!({"content": logprobs(&[token], top, &mut dice), "refusal": null}),
            None => Value::Null,
        };
        parts.push(part(json!({"content": token}), logprobs, None));
    }
    for (index, call) in choice.calls.iter().enumerate() {
        let opening = full_call(Some(index), (&call.id, &call.name, ""));
        parts.push(part(json!({"tool_calls": [opening]}), Value::Null, None));
        for fragment in tokens::split(&call.arguments) {
            let fragment = json!({"index": index, "function": {"arguments": fragment}});
            parts.push(part(json!({"tool_calls": [fragment]}), Value::Null, None));
        }
    }
    parts.push(part(json!({}), Value::Null, Some(choice.finish)));
    parts
}

fn full_call(index: Option<usize>, (id, name, arguments): (&str, &str, &str)) -> Value {
    let function = json!({"name": name, "arguments": arguments});
    match index {
        Some(index) => json!({"index": index, "id": id, "type": "function", "function": function}),
        None => json!({"id": id, "type": "function", "function": function}),
    }
}

impl<'a> From<&'a super::tools::Call> for (&'a str, &'a str, &'a str) {
    fn from(call: &'a super::tools::Call) -> Self {
        (&call.id, &call.name, &call.arguments)
    }
}

/// The chosen token is the likeliest, as at a low temperature; the others share what it leaves.
fn logprobs(tokens: &[&str], top: usize, dice: &mut Dice) -> Vec<Value> {
    const OTHERS: &[&str] =
        &[" the", " a", " and", ",", " to", ".", " of", " is", " in", " it", " you", " for", " that", " I"];
    let entry = |token: &str, logprob: f64| json!({"token": token, "logprob": (logprob * 1e6).round() / 1e6, "bytes": token.as_bytes()});
    let one = |token: &&str| {
        let chosen = 0.5 + 0.49 * dice.unit();
        let mut left = 1.0 - chosen;
        let first = entry(token, chosen.ln());
        let start = dice.below(OTHERS.len());
        let mut alternatives = vec![first.clone()];
        let others = (0..OTHERS.len()).map(|i| OTHERS[(start + i) % OTHERS.len()]).filter(|other| other != token);
        for other in others.take(top.saturating_sub(1)) {
            left *= 0.6;
            alternatives.push(entry(other, left.max(1e-9).ln()));
        }
        alternatives.truncate(top);
        let mut whole = first;
        whole["top_logprobs"] = Value::Array(alternatives);
        whole
    };
    tokens.iter().map(one).collect()
}
