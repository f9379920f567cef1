//! A request, written for a target of this dialect.

use serde_json::{Map, Value, json};

use super::idiom::not_here;
use super::part_write::cache_mark;
use super::turns::write_conversation;
use crate::chat::{Emulated, Error, Format, Request, Sampling, Tool, ToolChoice};
use crate::wire::dialect::Written;

use crate::wire::capabilities::Capabilities;
use crate::wire::claude_thinking::{self, Asked};
use crate::wire::exact_numbers;
use crate::wire::fields::{FieldError, Path};
use crate::wire::hashed::hashed;
use crate::wire::prompt::Fields;
use crate::wire::settings;
use crate::wire::tool_ids::fitting;

/// The most characters of `metadata.user_id` (API reference, Messages).
const LONGEST_USER: usize = 256;

/// The version that still takes sampling parameters, and today's, which answers 400 to them. An answer is the same in both.
pub(super) const VERSIONS: [&str; 2] = ["2023-06-01", "2026-10-21"];

/// Writes a request.
pub(super) fn write_request(request: &Request, emulated: &mut Emulated) -> Result<Written, Error> {
    let Body { fields, sampled, files } = write_fields(request, Capabilities::of(request), emulated)?;
    let mut headers = vec![("anthropic-version", VERSIONS[usize::from(!sampled)])];
    if files {
        headers.push(("anthropic-beta", "files-api-2025-04-14"));
    }
    Ok(Written { body: exact_numbers::write(&fields).into(), headers })
}

/// A request's body.
pub(super) struct Body {
    pub(super) fields: Fields,
    /// Whether it has sampling parameters.
    sampled: bool,
    /// Whether it names an uploaded file.
    files: bool,
}

/// Writes the fields of a request for a model of which this is known.
pub(super) fn write_fields(
    request: &Request,
    known: &Capabilities,
    emulated: &mut Emulated,
) -> Result<Body, FieldError> {
    let allowed = request.with_allowed_only(emulated);
    let request = allowed.as_ref().unwrap_or(request);
    check_sayable(request)?;
    let Asked { thinking, effort, budget } = claude_thinking::ask(request, known, emulated);
    let (system, messages, files) = write_conversation(&request.messages, known.late_system, emulated)?;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    put("model", request.model.as_str().into());
    if let Some(system) = system {
        put("system", system);
    }
    put("messages", messages.into());
    put("max_tokens", limit(request, budget, emulated).into());
    if !request.tools.is_empty() {
        put("tools", request.tools.iter().enumerate().map(write_tool).collect::<Result<_, _>>()?);
    }
    if let Some(choice) = write_choice(request, known)? {
        put("tool_choice", choice);
    }
    if let Some(thinking) = thinking {
        put("thinking", thinking);
    }
    write_output(request, effort, emulated, &mut put)?;
    let sampled = write_sampling(&known.sampling(request, emulated), &mut put)?;
    if !request.stop.is_empty() {
        put("stop_sequences", request.stop.as_slice().into());
    }
    if request.stream {
        put("stream", true.into());
    }
    if let Some(user) = &request.user {
        let hash = hashed(user, LONGEST_USER);
        if hash.is_some() {
            emulated.note("user");
        }
        put("metadata", json!({"user_id": hash.as_ref().unwrap_or(user)}));
    }
    if let Some(cache) = request.cache {
        put("cache_control", cache_mark(cache));
    }
    write_tier(request, emulated, &mut put)?;
    Ok(Body { fields, sampled, files })
}

/// Refuses settings that Anthropic has no field for.
fn check_sayable(request: &Request) -> Result<(), FieldError> {
    if let Some(field) = settings::unavailable(request) {
        return Err(not_here(field, "it has no such setting"));
    }
    if request.stop.iter().any(|stop| stop.trim().is_empty()) {
        return Err(not_here("stop", "a stop text there must have more than white space"));
    }
    Ok(())
}

/// The most tokens to write, which has the tokens to think with in it. Anthropic requires a limit.
fn limit(request: &Request, budget: Option<u64>, emulated: &mut Emulated) -> u64 {
    request.max_tokens.unwrap_or_else(|| {
        emulated.note("max_tokens");
        budget.unwrap_or(0).saturating_add(claude_thinking::ROOM)
    })
}

fn write_tool((n, tool): (usize, &Tool)) -> Result<Value, FieldError> {
    if tool.name.is_empty() || tool.name.len() > 128 || !tool.name.chars().all(fitting) {
        let why = "a tool's name there has 1 to 128 letters, digits, `_` and `-`";
        return Err(not_here(Path::of_item("tools", n).field("name"), why));
    }
    let mut out = Map::new();
    out.insert("name".to_owned(), tool.name.as_str().into());
    out.extend(tool.description.as_deref().map(|text| ("description".to_owned(), text.into())));
    out.insert("input_schema".to_owned(), tool.object_schema());
    out.extend(tool.strict.map(|strict| ("strict".to_owned(), strict.into())));
    out.extend(tool.cache.map(|cache| ("cache_control".to_owned(), cache_mark(cache))));
    Ok(out.into())
}

fn write_choice(request: &Request, known: &Capabilities) -> Result<Option<Value>, FieldError> {
    if claude_thinking::forces_call(request, known) {
        return Err(not_here("tool_choice", claude_thinking::NO_FORCED_CALL));
    }
    Ok(choice_of(request))
}

fn choice_of(request: &Request) -> Option<Value> {
    let parallel = request.parallel_tools.filter(|_| !request.tools.is_empty());
    let mut choice = match request.tool_choice.as_ref() {
        None if parallel.is_none() => return None,
        // Without tools there is nothing to forbid.
        Some(ToolChoice::None | ToolChoice::Auto) if request.tools.is_empty() => return None,
        Some(ToolChoice::None) => return Some(json!({"type": "none"})),
        None | Some(ToolChoice::Auto) => json!({"type": "auto"}),
        Some(ToolChoice::Any | ToolChoice::Allowed { .. }) => json!({"type": "any"}),
        Some(ToolChoice::Tool(name)) => json!({"type": "tool", "name": name}),
    };
    if let Some(parallel) = parallel {
        choice["disable_parallel_tool_use"] = (!parallel).into();
    }
    Some(choice)
}

fn write_output(
    request: &Request,
    effort: Option<&'static str>,
    emulated: &mut Emulated,
    put: &mut impl FnMut(&str, Value),
) -> Result<(), FieldError> {
    let mut config = Map::new();
    config.extend(effort.map(|effort| ("effort".to_owned(), effort.into())));
    match &request.format {
        None | Some(Format::Text) => {}
        Some(Format::JsonObject) => {
            return Err(not_here(
                "response_format",
                "it has JSON by a schema only, not any JSON object; a tool can stand in",
            ));
        }
        Some(Format::JsonSchema { description, schema, .. }) => {
            if description.is_some() {
                emulated.note("response_format.description");
            }
            config.insert("format".to_owned(), json!({"type": "json_schema", "schema": schema}));
        }
    }
    if !config.is_empty() {
        put("output_config", config.into());
    }
    Ok(())
}

/// Writes the sampling parameters; whether there are any.
fn write_sampling(sampling: &Sampling, put: &mut impl FnMut(&str, Value)) -> Result<bool, FieldError> {
    if sampling.temperature.is_some_and(|temperature| !(0.0..=1.0).contains(&temperature)) {
        return Err(not_here("temperature", "a temperature there is 0 to 1"));
    }
    let values = [
        ("temperature", sampling.temperature.map(Value::from)),
        ("top_p", sampling.top_p.map(Value::from)),
        ("top_k", sampling.top_k.map(Value::from)),
    ];
    let mut any = false;
    for (name, value) in values {
        if let Some(value) = value {
            put(name, value);
            any = true;
        }
    }
    Ok(any)
}

/// Writes the tier, and notes the hints that Anthropic has no place for.
fn write_tier(request: &Request, emulated: &mut Emulated, put: &mut impl FnMut(&str, Value)) -> Result<(), FieldError> {
    match request.service_tier.as_deref() {
        None => {}
        Some(tier @ ("auto" | "standard_only")) => put("service_tier", tier.into()),
        Some("default") => emulated.note("service_tier"),
        Some(_) => return Err(not_here("service_tier", "it has the tiers `auto` and `standard_only`")),
    }
    if request.prompt_cache_key.is_some() {
        emulated.note("prompt_cache_key");
    }
    if !request.metadata.is_empty() {
        emulated.note("metadata");
    }
    if request.store.is_some() {
        emulated.note("store");
    }
    if request.verbosity.is_some() {
        emulated.note("verbosity");
    }
    Ok(())
}
