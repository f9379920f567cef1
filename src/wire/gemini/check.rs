//! A caller's body: its top level is checked, and its bytes stay as they are.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::chat::Error;
use crate::wire::asked::{Addressed, Asked, check_count, read_prompt};
use crate::wire::fields::{Check, Field, check_fields, snake};
use crate::wire::json::Object;

/// The fields that may be written in two ways, of which only one may stand.
const TWO_WORDS: [&str; 5] = ["generationConfig", "systemInstruction", "toolConfig", "safetySettings", "cachedContent"];

const FIELDS: &[Field] = &[
    ("cachedContent", Check::Text, true),
    ("cached_content", Check::Text, true),
    ("generationConfig", Check::Object, true),
    ("generation_config", Check::Object, true),
    ("prompt", Check::Object, false),
    ("safetySettings", Check::AnyList, true),
    ("safety_settings", Check::AnyList, true),
    ("systemInstruction", Check::Object, true),
    ("system_instruction", Check::Object, true),
    ("toolConfig", Check::Object, true),
    ("tool_config", Check::Object, true),
];

const CONFIG: &[Field] = &[
    ("candidateCount", Check::Integer(1..=128), true),
    ("frequencyPenalty", Check::Number(-2.0..=2.0), true),
    ("logprobs", Check::Integer(0..=20), true),
    ("maxOutputTokens", Check::Integer(1..=100_000_000), true),
    ("presencePenalty", Check::Number(-2.0..=2.0), true),
    ("responseJsonSchema", Check::Object, true),
    ("responseLogprobs", Check::Bool, true),
    ("responseMimeType", Check::Text, true),
    ("responseSchema", Check::Object, true),
    ("seed", Check::Integer(i64::MIN..=i64::MAX), true),
    ("stopSequences", Check::AnyList, true),
    ("temperature", Check::Number(0.0..=2.0), true),
    ("thinkingConfig", Check::Object, true),
    ("topK", Check::Number(0.0..=1e9), true),
    ("topP", Check::Number(0.0..=1.0), true),
];

/// The fields of a content that are read before it is translated.
#[derive(Deserialize)]
pub(super) struct Shape<'a> {
    #[serde(borrow, default)]
    role: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) parts: Option<&'a RawValue>,
}

/// The fields of a part that are read before it is translated.
#[derive(Deserialize)]
struct PartShape<'a> {
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default, alias = "inline_data", rename = "inlineData")]
    inline: Option<Blob<'a>>,
    #[serde(borrow, default, alias = "file_data", rename = "fileData")]
    file: Option<Blob<'a>>,
    #[serde(borrow, default, alias = "function_response", rename = "functionResponse")]
    result: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Blob<'a> {
    #[serde(borrow, default, alias = "mime_type", rename = "mimeType")]
    mime_type: Option<Cow<'a, str>>,
}

/// The value of a field in either spelling; `null` is the same as none.
pub(super) fn field<'a>(object: &'a Object, name: &str) -> Option<&'a str> {
    object.get(name).or_else(|| object.get(&snake(name))).filter(|json| *json != "null")
}

/// Reads and checks a body.
pub(super) fn read(body: Bytes, addressed: &Addressed) -> Result<Asked, Error> {
    checked(Object::read(body)?, addressed, check_contents)
}

/// Checks an object; `turns` checks its contents, which may be none where it is told so, and counts them.
pub(super) fn checked(
    object: Object,
    addressed: &Addressed,
    turns: impl FnOnce(&str, bool) -> Result<usize, Error>,
) -> Result<Asked, Error> {
    check_fields(&object, FIELDS)?;
    for name in TWO_WORDS {
        if object.get(name).is_some() && object.get(&snake(name)).is_some() {
            return Err(Error::field(name, format!("`{name}` stands twice, once as `{}`", snake(name))));
        }
    }
    let prompt = read_prompt(&object)?;
    let model = addressed.model.clone().unwrap_or_default();
    let prompted = prompt.is_some() || model.starts_with("prompt/");
    if model.is_empty() && prompt.as_ref().is_none_or(|prompt| prompt.id.is_none()) {
        return Err(Error::field("model", "the address names no model: it is `models/{model}:generateContent`"));
    }
    let turns = match field(&object, "contents") {
        Some(json) => turns(json, prompted)?,
        None if prompted => 0,
        None => return Err(Error::field("contents", "`contents` is missing")),
    };
    if let Some(json) = field(&object, "tools") {
        check_tools(json)?;
    }
    let config = config(&object)?;
    let number = |name| config.as_ref().and_then(|config| field(config, name)).and_then(|json| json.parse().ok());
    let (max_tokens, choices) = (number("maxOutputTokens"), number("candidateCount").unwrap_or(1));
    Ok(Asked { model, stream: addressed.stream, include_usage: true, max_tokens, choices, turns, prompt, object })
}

/// The generation config, checked.
fn config(object: &Object) -> Result<Option<Object>, Error> {
    let Some(json) = field(object, "generationConfig") else { return Ok(None) };
    let within = |error: Error| {
        let param = error.param.as_deref().map(|name| format!("generationConfig.{name}"));
        Error { param: Some(param.unwrap_or_else(|| "generationConfig".to_owned())), ..error }
    };
    let config = Object::read(Bytes::copy_from_slice(json.as_bytes())).map_err(|error| within(error.into()))?;
    check_fields(&config, CONFIG).map_err(|error| within(error.into()))?;
    for (name, check, _) in CONFIG {
        let other = snake(name);
        let Some(value) = config.get(&other).filter(|value| other != *name && *value != "null") else { continue };
        check.of(&other, value).map_err(|error| within(error.into()))?;
        if config.get(name).is_some() {
            let twice = Error::field(&*other, format!("`{name}` stands twice, once as `{other}`"));
            return Err(within(twice));
        }
    }
    Ok(Some(config))
}

/// The members of a list; an object stands for a list of it.
pub(super) fn members<'a>(json: &'a str, name: &str) -> Result<Vec<&'a RawValue>, Error> {
    let read = if json.starts_with('{') {
        serde_json::from_str(json).map(|one| vec![one])
    } else {
        serde_json::from_str(json)
    };
    read.map_err(|_| Error::field(name, format!("`{name}` must be a list")))
}

fn check_contents(json: &str, may_be_empty: bool) -> Result<usize, Error> {
    let contents = members(json, "contents")?;
    if contents.is_empty() && !may_be_empty {
        return Err(Error::field("contents", "`contents` must be a list that is not empty"));
    }
    check_count(contents.len(), "contents")?;
    for (n, content) in contents.iter().enumerate() {
        check_content(content.get())
            .map_err(|(field, message)| Error::field(format!("contents[{n}]{field}"), message))?;
    }
    Ok(contents.len())
}

fn check_content(json: &str) -> Result<(), (&'static str, &'static str)> {
    if !json.starts_with('{') {
        return Err(("", "a content must be an object with `role` and `parts`"));
    }
    let content: Shape<'_> = serde_json::from_str(json).map_err(|_| (".role", "`role` must be a text"))?;
    if !matches!(content.role.as_deref(), None | Some("" | "user" | "model" | "function")) {
        return Err((".role", "`role` must be user or model"));
    }
    let parts = content.parts.map_or("", RawValue::get);
    if parts.starts_with('{') || (parts.starts_with('[') && parts[1..].trim_start().starts_with('{')) {
        return Ok(());
    }
    Err((".parts", "`parts` must be a list of parts that is not empty"))
}

fn check_tools(json: &str) -> Result<(), Error> {
    match members(json, "tools")?.iter().position(|tool| !tool.get().starts_with('{')) {
        Some(n) => Err(Error::field(format!("tools[{n}]"), "a tool must be an object")),
        None => Ok(()),
    }
}

/// The contents that can be read, each with its parts.
fn shapes(object: &Object) -> Vec<(Option<Cow<'_, str>>, Vec<PartShape<'_>>)> {
    let contents = field(object, "contents").and_then(|json| members(json, "contents").ok()).unwrap_or_default();
    let shapes = contents.into_iter().filter_map(|content| serde_json::from_str::<Shape<'_>>(content.get()).ok());
    shapes
        .map(|content| {
            let parts = content.parts.and_then(|parts| members(parts.get(), "parts").ok()).unwrap_or_default();
            (content.role, parts.into_iter().filter_map(|part| serde_json::from_str(part.get()).ok()).collect())
        })
        .collect()
}

/// The text of the user's last content that is not only results of tools; empty where there is none.
pub(super) fn last_user_text(object: &Object) -> String {
    let has_words = |(role, parts): &(Option<Cow<'_, str>>, Vec<PartShape<'_>>)| {
        matches!(role.as_deref(), None | Some("" | "user")) && parts.iter().any(|part| part.result.is_none())
    };
    let last = shapes(object).into_iter().rev().find(has_words);
    last.into_iter().flat_map(|(_, parts)| parts).filter_map(|part| part.text).collect()
}

/// Whether the conversation has an image in it.
pub(super) fn has_images(object: &Object) -> bool {
    let Some(json) = field(object, "contents") else { return false };
    if memchr::memmem::find(json.as_bytes(), b"\"mime").is_none() {
        return false;
    }
    let image = |blob: &Blob<'_>| blob.mime_type.as_deref().is_some_and(|kind| kind.starts_with("image/"));
    let parts = shapes(object).into_iter().flat_map(|(_, parts)| parts);
    parts.into_iter().any(|part| part.inline.as_ref().or(part.file.as_ref()).is_some_and(image))
}
