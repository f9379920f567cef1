//! A request as a caller sent it: what every dialect reads of one before it is passed on or translated.

use bytes::Bytes;
use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::fields::{FieldError, Path};
use super::json::{Edits, Object, quoted};
use crate::chat::{Code, Error};

/// The most turns, whatever a dialect calls them, that a conversation may have.
pub const MAX_TURNS: usize = 10_000;

/// A request as a caller sent it: its bytes, checked at the top level, and the fields that every call reads.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The bytes and their fields.
    pub object: Object,
    /// `model`; empty where only a prompt is named.
    pub model: String,
    /// Whether the answer is to be a stream.
    pub stream: bool,
    /// Whether the caller asked for usage in the stream; true in dialects whose streams always report it.
    pub include_usage: bool,
    /// The most tokens to write.
    pub max_tokens: Option<u64>,
    /// How many answers the caller asked for.
    pub choices: u64,
    /// How many turns the conversation has, whatever the dialect calls them; 0 where it has none.
    pub turns: usize,
    /// The prompt that the body names.
    pub prompt: Option<PromptRef>,
}

/// What the address of a call says of the request, in a dialect whose bodies do not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressed {
    /// The model.
    pub model: Option<String>,
    /// Whether the answer is to be a stream.
    pub stream: bool,
}

/// The body's `prompt` object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptRef {
    /// The prompt's name; may be left out where `model` names the prompt.
    #[serde(default)]
    pub id: Option<String>,
    /// A version's number, as OpenAI's text or as a number.
    #[serde(default, deserialize_with = "text_or_number")]
    pub version: Option<String>,
    /// A label.
    #[serde(default)]
    pub label: Option<String>,
    /// Values of the prompt's variables.
    #[serde(default)]
    pub variables: Map<String, Value>,
}

fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        _ => Err(de::Error::custom("`version` must be a text such as \"3\"")),
    }
}

/// What a request names: its model, its prompt, or both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Named {
    /// The model; empty where only a prompt is named.
    pub model: String,
    /// The body's `prompt`.
    pub prompt: Option<PromptRef>,
}

impl Named {
    /// Reads `model` and `prompt`, of which a request must have one.
    ///
    /// # Errors
    /// A 400 that names the field.
    pub fn read(object: &Object) -> Result<Self, FieldError> {
        let prompt = read_prompt(object)?;
        let model = match object.get("model") {
            Some(json) => serde_json::from_str(json)
                .map_err(|error| FieldError::wrong("model", format_args!("cannot be read: {error}")))?,
            None if prompt.as_ref().is_some_and(|prompt| prompt.id.is_some()) => String::new(),
            None => return Err(FieldError::wrong("model", "is missing")),
        };
        Ok(Self { model, prompt })
    }

    /// Whether a prompt is named, which may bring the conversation.
    #[must_use]
    pub fn is_prompt(&self) -> bool {
        self.prompt.is_some() || self.model.starts_with("prompt/")
    }
}

/// Reads the body's `prompt`.
///
/// # Errors
/// A 400 that names it.
pub fn read_prompt(object: &Object) -> Result<Option<PromptRef>, FieldError> {
    let Some(json) = object.get("prompt").filter(|json| *json != "null") else { return Ok(None) };
    let prompt: PromptRef = serde_json::from_str(json).map_err(|error| {
        let text = format_args!("must be {{\"id\", \"version\" or \"label\", \"variables\"}}: {error}");
        FieldError::wrong("prompt", text)
    })?;
    if prompt.version.is_some() && prompt.label.is_some() {
        return Err(FieldError::wrong("prompt", "names a `version` or a `label`, not both"));
    }
    Ok(Some(prompt))
}

/// Checks a conversation of which each turn was checked by itself: the prompt's and the caller's.
///
/// # Errors
/// A 400 that names the field: there are no turns, where there must be some, or too many.
pub fn check_joined(count: usize, may_be_empty: bool, name: &str) -> Result<usize, Error> {
    if count == 0 && !may_be_empty {
        return Err(Error::field(name, format!("`{name}` must be a list that is not empty")));
    }
    check_count(count, name)?;
    Ok(count)
}

/// Refuses a conversation of more than [`MAX_TURNS`]; `name` is its field, which is what its dialect calls the turns.
///
/// # Errors
/// A 400 that names the field.
pub fn check_count(count: usize, name: &str) -> Result<(), FieldError> {
    if count <= MAX_TURNS {
        return Ok(());
    }
    let text = format!("{count} {name} are more than the {MAX_TURNS} allowed");
    Err(FieldError::new(Code::InvalidRequest, name, text))
}

/// Refuses a tool that is no object. An absent list of tools is as good as an empty one.
///
/// # Errors
/// A 400 that names the tool by its place.
pub fn check_tools(object: &Object) -> Result<(), FieldError> {
    let Some(json) = object.get("tools").filter(|json| *json != "null") else { return Ok(()) };
    let tools: Vec<&RawValue> = serde_json::from_str(json)
        .map_err(|error| FieldError::new(Code::InvalidRequest, "tools", error.to_string()))?;
    match tools.iter().position(|tool| !tool.get().starts_with('{')) {
        Some(n) => {
            let path = Path::of_item("tools", n);
            Err(FieldError::new(Code::InvalidRequest, path, "a tool must be an object"))
        }
        None => Ok(()),
    }
}

/// Whether the request has a tool of which `acts` holds, whose `type` it gets, if there is one. A list that cannot be read has one.
#[must_use]
pub fn has_tool(object: &Object, acts: impl Fn(Option<&str>) -> bool) -> bool {
    #[derive(Deserialize)]
    struct Typed {
        #[serde(default, rename = "type")]
        kind: Option<String>,
    }
    let Some(json) = object.get("tools").filter(|json| *json != "null") else { return false };
    let tools: Result<Vec<Typed>, _> = serde_json::from_str(json);
    tools.map_or(true, |tools| tools.iter().any(|tool| acts(tool.kind.as_deref())))
}

/// Whether one of these fields is there and says more than null, false or nothing.
#[must_use]
pub fn has_any(object: &Object, names: &[&str]) -> bool {
    let is_set = |json: &str| !["null", "false", "\"\"", "[]"].contains(&json.trim());
    names.iter().any(|name| object.get(name).is_some_and(is_set))
}

/// The fields of a conversation's turn that are read before a translation.
#[derive(Deserialize)]
struct Turn<'a> {
    #[serde(default)]
    role: Value,
    #[serde(borrow)]
    content: Option<&'a RawValue>,
}

/// The text of the user's last turn in a list of them; empty where there is none.
#[must_use]
pub fn last_user_text(turns: &str) -> String {
    let Ok(turns) = serde_json::from_str::<Vec<&RawValue>>(turns) else { return String::new() };
    let content = turns.iter().rev().find_map(|turn| {
        let turn: Turn<'_> = serde_json::from_str(turn.get()).ok()?;
        turn.content.filter(|_| turn.role == "user")
    });
    match content.and_then(|content| serde_json::from_str(content.get()).ok()) {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        _ => String::new(),
    }
}

impl Asked {
    /// The body with another model; every other byte stays.
    #[must_use]
    pub fn with_model(&self, model: &str) -> Bytes {
        let mut edits = Edits::default();
        edits.set("model", quoted(model));
        self.object.edited(&edits)
    }
}
