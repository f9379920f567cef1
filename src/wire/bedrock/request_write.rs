//! A request, written for Converse. The model and whether it streams stand in the address.

use serde_json::{Map, Value, json};

use super::family::Family;
use super::idiom::not_here;
use super::{thought, tools, turns};
use crate::chat::{Emulated, Error, Format, Request, Sampling, Structured};
use crate::wire::capabilities::Capabilities;
use crate::wire::claude_schema;
use crate::wire::dialect::Written;
use crate::wire::exact_numbers;
use crate::wire::fields::FieldError;
use crate::wire::settings;

/// The most texts at which an answer ends.
const MOST_STOPS: usize = 2_500;

/// Writes a request.
pub(super) fn write_request(request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
    let allowed = request.with_allowed_only(emulated);
    let request = allowed.as_ref().unwrap_or(request);
    check_sayable(request, emulated)?;
    let family = Family::of_request(request);
    let known = Capabilities::of(request);
    let sampling = known.sampling(request, emulated);
    let conversation = turns::write(request, family, emulated)?;
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    put("messages", conversation.messages.into());
    if !conversation.system.is_empty() {
        put("system", conversation.system.into());
    }
    let inference = write_inference(request, &sampling)?;
    if !inference.is_empty() {
        put("inferenceConfig", inference.into());
    }
    if let Some(config) = tools::write(request, family, conversation.has_calls, emulated)? {
        put("toolConfig", config);
    }
    let mut own = Map::new();
    if let Some(top_k) = sampling.top_k {
        write_top_k(top_k, family, emulated, &mut own);
    }
    let mut output = Map::new();
    thought::write(request, family, emulated, (&mut own, &mut output));
    write_format(request.format.as_ref(), family, &mut output)?;
    if !output.is_empty() {
        put("outputConfig", output.into());
    }
    if !own.is_empty() {
        put("additionalModelRequestFields", own.into());
    }
    if !request.stop.is_empty() {
        // Converse names the text at which the answer stopped only if asked, and not for every model.
        put("additionalModelResponseFieldPaths", json!(["/stop_sequence"]));
    }
    if let Some(tier) = write_tier(request, emulated)? {
        put("serviceTier", json!({"type": tier}));
    }
    Ok(Written { body: exact_numbers::write(&Value::Object(body)).into(), headers: Vec::new() })
}

/// Refuses settings that Converse has no field for, and notes the hints that it ignores.
fn check_sayable(request: &Request, emulated: &mut Emulated) -> Result<(), FieldError> {
    if let Some(field) = settings::unavailable(request) {
        return Err(not_here(field, "it has no such setting"));
    }
    let hints = [
        (request.user.is_some(), "user"),
        (request.prompt_cache_key.is_some(), "prompt_cache_key"),
        (request.store.is_some(), "store"),
        (request.verbosity.is_some(), "verbosity"),
    ];
    hints.into_iter().filter(|(is_set, _)| *is_set).for_each(|(_, name)| emulated.note(name));
    Ok(())
}

fn write_inference(request: &Request, sampling: &Sampling) -> Result<Map<String, Value>, FieldError> {
    let mut config = Map::new();
    let mut put = |name: &str, value: Option<Value>| config.extend(value.map(|value| (name.to_owned(), value)));
    put("maxTokens", request.max_tokens.map(Value::from));
    put("temperature", unit("temperature", sampling.temperature)?);
    put("topP", unit("top_p", sampling.top_p)?);
    if request.stop.len() > MOST_STOPS || request.stop.iter().any(String::is_empty) {
        return Err(not_here("stop", "it takes at most 2500 texts, none of them empty"));
    }
    put("stopSequences", (!request.stop.is_empty()).then(|| request.stop.clone().into()));
    Ok(config)
}

fn unit(name: &str, number: Option<f64>) -> Result<Option<Value>, FieldError> {
    match number {
        Some(number) if !(0.0..=1.0).contains(&number) => Err(not_here(name, "it is from 0 to 1 there")),
        number => Ok(number.map(Value::from)),
    }
}

/// Where each family takes `top_k`. For a model that is not known to take it, it is left out and noted.
fn write_top_k(top_k: u64, family: Family, emulated: &mut Emulated, own: &mut Map<String, Value>) {
    let (name, value) = match family {
        Family::Nova | Family::Nova2 => ("inferenceConfig", json!({"topK": top_k})),
        Family::Mistral => ("top_k", top_k.into()),
        family if family.is_claude() => ("top_k", top_k.into()),
        _ => return emulated.note("top_k"),
    };
    own.insert(name.to_owned(), value);
}

/// How a target keeps to the request's format: by a schema where its family has them, else by a tool.
pub(super) fn structured(request: &mut Request) -> Structured {
    let family = Family::of_request(request);
    if family.is_claude() {
        return claude_schema::structured(request);
    }
    match request.format {
        Some(Format::JsonSchema { .. }) if family.has_schemas() => Structured::Native,
        Some(Format::JsonObject | Format::JsonSchema { .. }) => Structured::Tool,
        None | Some(Format::Text) => Structured::Native,
    }
}

fn write_format(format: Option<&Format>, family: Family, output: &mut Map<String, Value>) -> Result<(), FieldError> {
    let (name, description, schema) = match format {
        None | Some(Format::Text) => return Ok(()),
        Some(Format::JsonObject) => {
            return Err(not_here("response_format", "it has JSON by a schema only, not any JSON object"));
        }
        Some(Format::JsonSchema { name, description, schema, .. }) => (name, description, schema),
    };
    if !family.has_schemas() {
        return Err(not_here("response_format", "this model's answers cannot be held to a schema"));
    }
    // A text there, not an object.
    let mut definition = json!({"schema": exact_numbers::write(schema), "name": name});
    if let Some(description) = description {
        definition["description"] = description.as_str().into();
    }
    output.insert("textFormat".to_owned(), json!({"type": "json_schema", "structure": {"jsonSchema": definition}}));
    Ok(())
}

fn write_tier(request: &Request, emulated: &mut Emulated) -> Result<Option<&'static str>, FieldError> {
    Ok(Some(match request.service_tier.as_deref() {
        None => return Ok(None),
        Some("auto") => {
            emulated.note("service_tier");
            return Ok(None);
        }
        Some("default" | "standard_only") => "default",
        Some("flex") => "flex",
        Some("priority") => "priority",
        Some("reserved") => "reserved",
        Some(_) => return Err(not_here("service_tier", "it has the tiers default, flex, priority and reserved")),
    }))
}
