//! A whole answer of a provider, in the internal form.

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::idiom::IDIOM;
use super::part_read::{read_block, read_citation, read_shown, read_thoughts, thought_signature};
use super::stop::read_stop;
use crate::chat::{Choice, Content, Part, Response, Tier, id_by_place};
use crate::wire::dialect::BadAnswer;
use crate::wire::fields::{FieldError, Path, Place};
use crate::wire::openai::read_usage;

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(default)]
    id: Value,
    #[serde(default)]
    model: Value,
    #[serde(default)]
    created: Value,
    choices: Vec<Map<String, Value>>,
    #[serde(borrow)]
    usage: Option<&'a RawValue>,
    #[serde(default)]
    service_tier: Value,
}

/// Reads the answer.
pub(super) fn read_response(body: &[u8]) -> Result<Response, BadAnswer> {
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| BadAnswer::unread(&error))?;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let tier = answer.service_tier.as_str().map_or(Tier::Unnamed, Tier::named);
    let mut choices = answer.choices;
    choices.sort_by_key(|choice| choice.get("index").and_then(Value::as_u64));
    Ok(Response {
        id: text(&answer.id).unwrap_or_default(),
        model: text(&answer.model).unwrap_or_default(),
        created: answer.created.as_i64(),
        choices: choices.into_iter().enumerate().map(|(n, choice)| read_choice(n, choice)).collect::<Result<_, _>>()?,
        usage: answer.usage.and_then(|usage| read_usage(usage.get())).map(|usage| usage.in_tier(tier)),
        service_tier: text(&answer.service_tier),
    })
}

fn read_choice(n: usize, mut choice: Map<String, Value>) -> Result<Choice, BadAnswer> {
    let Some(Value::Object(message)) = choice.get_mut("message").map(Value::take) else {
        return Err(BadAnswer(format!("`choices[{n}].message` is no object")));
    };
    let path = Path::of_item("choices", n);
    let parts = read_parts(n, Place::of_map(message, path.field("message"), &IDIOM))?;
    let refused = parts.iter().any(|part| matches!(part.content, Content::Refusal(_)));
    let called = parts.iter().any(|part| matches!(part.content, Content::ToolCall { .. }));
    let reason = choice.get("finish_reason").and_then(Value::as_str).filter(|reason| !reason.is_empty());
    let stop = reason.map(|reason| read_stop(reason, refused, called));
    let logprobs = choice.get_mut("logprobs").map(Value::take).filter(|value| !value.is_null());
    Ok(Choice { parts, stop, logprobs })
}

fn read_parts(choice: usize, mut message: Place<'_>) -> Result<Vec<Part>, FieldError> {
    let mut parts = read_thoughts(&mut message)?;
    match message.take("content") {
        None => {}
        Some(Value::String(text)) => parts.extend((!text.is_empty()).then(|| Part::text(text))),
        Some(Value::Array(content)) => {
            for (n, part) in content.iter().enumerate() {
                parts.push(read_part(part, message.item("content", n))?);
            }
        }
        Some(_) => return Err(message.wrong("content", "must be a text")),
    }
    let annotations = message.list("annotations")?;
    let last_text = parts.iter_mut().rev().find_map(|part| match &mut part.content {
        Content::Text { citations, .. } => Some(citations),
        _ => None,
    });
    if let Some(citations) = last_text {
        citations.extend(annotations.iter().filter_map(read_citation));
    }
    for image in message.list("images")? {
        parts.push(read_shown(&image, message.at("images"))?);
    }
    if let Some(refusal) = message.maybe_text("refusal")?.filter(|refusal| !refusal.is_empty()) {
        parts.push(Part::new(Content::Refusal(refusal)));
    }
    for (n, call) in message.list("tool_calls")?.into_iter().enumerate() {
        parts.push(read_call(message.inner(call, message.item("tool_calls", n))?, (choice, n))?);
    }
    Ok(parts)
}

/// One part of a content that is a list; Mistral's reasoning models answer with lists.
fn read_part(part: &Value, path: Path<'_>) -> Result<Part, FieldError> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(thought) = read_block(part) {
        return Ok(thought);
    }
    let content = match part["type"].as_str() {
        Some("text") => text(&part["text"]).map(|text| Content::Text { text, citations: Vec::new() }),
        Some("refusal") => text(&part["refusal"]).map(Content::Refusal),
        Some("thinking") => None,
        _ => return Err(FieldError::wrong(path.field("type"), "is not known")),
    };
    content.map(Part::new).ok_or_else(|| FieldError::wrong(path, "has no text"))
}

fn read_call(mut call: Place<'_>, place: (usize, usize)) -> Result<Part, FieldError> {
    let signature = thought_signature(call.rest());
    let id = call.maybe_text("id");
    let Some(function @ Value::Object(_)) = call.take("function") else {
        return Err(call.wrong("function", "must be an object"));
    };
    let mut function = call.inner(function, call.at("function"))?;
    let name = function.maybe_text("name")?.filter(|name| !name.is_empty());
    let id = id?.filter(|id| !id.is_empty());
    let arguments = match function.take("arguments") {
        None => String::new(),
        Some(Value::String(arguments)) => arguments,
        // Some servers send arguments as an object, not as text.
        Some(arguments @ Value::Object(_)) => arguments.to_string(),
        Some(_) => return Err(function.wrong("arguments", "must be a text")),
    };
    let name = name.ok_or_else(|| function.wrong("name", "is missing"))?;
    let content = Content::ToolCall { id: id.unwrap_or_else(|| id_by_place(place.0, place.1)), name, arguments };
    Ok(Part { signature, ..Part::new(content) })
}
