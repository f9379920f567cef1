//! Reads a chat completion request, as strictly as OpenAI does where it matters.

use serde_json::{Map, Value};

use super::refusal::Refusal;
use super::tokens;

/// A request, read.
pub(super) struct Ask<'a> {
    pub(super) turns: Vec<Turn<'a>>,
    pub(super) tools: Vec<Tool<'a>>,
    pub(super) choice: Choice<'a>,
    pub(super) parallel: bool,
    pub(super) format: Format<'a>,
    /// The most tokens of an answer.
    pub(super) limit: usize,
    pub(super) stops: Vec<&'a str>,
    pub(super) n: usize,
    /// How many alternatives to tell per token, where log-probabilities are wanted.
    pub(super) logprobs: Option<usize>,
    pub(super) stream: bool,
    pub(super) include_usage: bool,
}

/// One message.
pub(super) struct Turn<'a> {
    pub(super) role: &'a str,
    pub(super) text: String,
    /// The tokens of the request, with its images and its tool calls.
    pub(super) tokens: usize,
}

/// One function that may be called.
pub(super) struct Tool<'a> {
    pub(super) name: &'a str,
    pub(super) description: &'a str,
    pub(super) parameters: &'a Value,
}

/// Whether tools are to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Choice<'a> {
    Auto,
    None,
    Required,
    Named(&'a str),
}

/// What the answer's text must be.
pub(super) enum Format<'a> {
    Text,
    Json,
    Schema(&'a Value),
}

static ANYTHING: Value = Value::Null;

impl<'a> Ask<'a> {
    /// # Errors
    /// The first thing that OpenAI would refuse.
    pub(super) fn read(body: &'a Map<String, Value>) -> Result<Self, Refusal> {
        let options = body.get("stream_options").and_then(Value::as_object);
        let mut tools = tools(body)?;
        Ok(Self {
            turns: turns(body)?,
            choice: choice(body, &mut tools)?,
            tools,
            parallel: body.get("parallel_tool_calls") != Some(&Value::Bool(false)),
            format: format(body)?,
            limit: limit(body)?,
            stops: stops(body)?,
            n: whole(body, "n", 1, 128)?.unwrap_or(1),
            logprobs: logprobs(body)?,
            stream: flag(body, "stream")?,
            include_usage: options.is_some_and(|options| options.get("include_usage") == Some(&Value::Bool(true))),
        })
    }

    /// The last words of the user.
    pub(super) fn last_user(&self) -> &str {
        self.turns.iter().rev().find(|turn| turn.role == "user").map_or("", |turn| &turn.text)
    }

    /// The text of all system and developer messages.
    pub(super) fn system(&self) -> String {
        let turns = self.turns.iter().filter(|turn| matches!(turn.role, "system" | "developer"));
        turns.map(|turn| turn.text.as_str()).collect::<Vec<_>>().join("\n")
    }

    /// What a tool answered, where that was the last message.
    pub(super) fn tool_result(&self) -> Option<&str> {
        self.turns.last().filter(|turn| matches!(turn.role, "tool" | "function")).map(|turn| turn.text.as_str())
    }
}

fn turns(body: &Map<String, Value>) -> Result<Vec<Turn<'_>>, Refusal> {
    let messages = body.get("messages").ok_or_else(|| Refusal::missing("messages"))?;
    let messages = messages.as_array().ok_or_else(|| invalid("messages", "expected an array of objects"))?;
    if messages.is_empty() {
        return Err(Refusal::field(
            "messages",
            "empty_array",
            "Invalid 'messages': empty array. Expected at least one message.",
        ));
    }
    messages.iter().enumerate().map(|(i, message)| turn(i, message)).collect()
}

fn turn(i: usize, message: &Value) -> Result<Turn<'_>, Refusal> {
    const ROLES: &[&str] = &["system", "developer", "user", "assistant", "tool", "function"];
    let at = |field: &str| format!("messages[{i}].{field}");
    let Some(message) = message.as_object() else {
        return Err(invalid(&format!("messages[{i}]"), "expected an object"));
    };
    let role = message.get("role").and_then(Value::as_str).unwrap_or_default();
    let Some(role) = ROLES.iter().find(|known| **known == role) else {
        let known = ROLES.join("', '");
        return Err(Refusal::field(
            at("role"),
            "invalid_value",
            format!("Invalid value: '{role}'. Supported values are: '{known}'."),
        ));
    };
    let calls = message.get("tool_calls").filter(|calls| !calls.is_null());
    let (text, images) = match message.get("content") {
        Some(Value::String(text)) => (text.clone(), 0),
        Some(Value::Array(parts)) => {
            parts_of(parts).ok_or_else(|| invalid(&at("content"), "expected parts with a type"))?
        }
        None | Some(Value::Null) if calls.is_some() || *role == "assistant" => (String::new(), 0),
        None | Some(Value::Null) => return Err(invalid(&at("content"), "expected a string, got null")),
        Some(_) => return Err(invalid(&at("content"), "expected a string or an array of parts")),
    };
    let calls = calls.map_or(0, |calls| tokens::count(&calls.to_string()));
    Ok(Turn { role, tokens: 3 + tokens::count(&text) + images + calls, text })
}

/// The text of a message in parts, and the tokens of its images: 85, or 765 in detail.
fn parts_of(parts: &[Value]) -> Option<(String, usize)> {
    let (mut texts, mut images) = (Vec::new(), 0);
    for part in parts {
        match part.get("type")?.as_str()? {
            "text" => texts.push(part.get("text")?.as_str()?),
            "image_url" => {
                let detail = part.get("image_url")?.get("detail").and_then(Value::as_str);
                images += if detail == Some("low") { 85 } else { 765 };
            }
            _ => images += 85,
        }
    }
    Some((texts.join("\n"), images))
}

fn tools(body: &Map<String, Value>) -> Result<Vec<Tool<'_>>, Refusal> {
    let tools = match body.get("tools") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(tools) => tools.as_array().ok_or_else(|| invalid("tools", "expected an array"))?,
    };
    let functions = tools.iter().enumerate().filter(|(_, tool)| tool.get("type").is_none_or(|kind| kind == "function"));
    functions
        .map(|(i, tool)| {
            let function = tool.get("function").unwrap_or(&ANYTHING);
            let name = function.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
            let at = format!("tools[{i}].function.name");
            let missing =
                || Refusal::field(&at, "missing_required_parameter", format!("Missing required parameter: '{at}'."));
            Ok(Tool {
                name: name.ok_or_else(missing)?,
                description: function.get("description").and_then(Value::as_str).unwrap_or_default(),
                parameters: function.get("parameters").unwrap_or(&ANYTHING),
            })
        })
        .collect()
}

/// The choice; of the tools, those stay that it allows.
fn choice<'a>(body: &'a Map<String, Value>, tools: &mut Vec<Tool<'_>>) -> Result<Choice<'a>, Refusal> {
    let choice = match body.get("tool_choice") {
        None | Some(Value::Null) => return Ok(Choice::Auto),
        Some(_) if tools.is_empty() => {
            return Err(invalid("tool_choice", "'tool_choice' is only allowed when 'tools' are specified"));
        }
        Some(choice) => choice,
    };
    match choice.as_str() {
        Some("auto") => return Ok(Choice::Auto),
        Some("none") => return Ok(Choice::None),
        Some("required") => return Ok(Choice::Required),
        _ => {}
    }
    let name_in = |choice: &'a Value| choice.pointer("/function/name").and_then(Value::as_str);
    if let Some(allowed) = choice.get("allowed_tools") {
        let names: Vec<&str> = allowed["tools"].as_array().into_iter().flatten().filter_map(name_in).collect();
        tools.retain(|tool| names.contains(&tool.name));
        return match (tools.is_empty(), allowed["mode"].as_str()) {
            (false, Some("auto")) => Ok(Choice::Auto),
            (false, Some("required")) => Ok(Choice::Required),
            _ => Err(invalid("tool_choice", "'allowed_tools' names no tool of 'tools', or has no 'mode'")),
        };
    }
    let name = name_in(choice);
    let known = name.filter(|name| tools.iter().any(|tool| tool.name == *name));
    known.map(Choice::Named).ok_or_else(|| invalid("tool_choice", "the choice names no tool of 'tools'"))
}

fn format(body: &Map<String, Value>) -> Result<Format<'_>, Refusal> {
    let Some(format) = body.get("response_format").filter(|format| !format.is_null()) else {
        return Ok(Format::Text);
    };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(Format::Text),
        Some("json_object") => Ok(Format::Json),
        Some("json_schema") => {
            let schema = format.pointer("/json_schema/schema").filter(|schema| schema.is_object());
            schema
                .map(Format::Schema)
                .ok_or_else(|| invalid("response_format.json_schema.schema", "expected an object"))
        }
        _ => Err(invalid("response_format.type", "expected 'text', 'json_object' or 'json_schema'")),
    }
}

fn limit(body: &Map<String, Value>) -> Result<usize, Refusal> {
    let newer = whole(body, "max_completion_tokens", 1, 10_000_000)?;
    Ok(newer.or(whole(body, "max_tokens", 1, 10_000_000)?).unwrap_or(usize::MAX))
}

fn stops(body: &Map<String, Value>) -> Result<Vec<&str>, Refusal> {
    match body.get("stop") {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::String(stop)) => Ok(vec![stop]),
        Some(Value::Array(stops)) if stops.len() <= 4 && stops.iter().all(Value::is_string) => {
            Ok(stops.iter().filter_map(Value::as_str).collect())
        }
        Some(_) => Err(invalid("stop", "expected a string or up to four of them")),
    }
}

fn logprobs(body: &Map<String, Value>) -> Result<Option<usize>, Refusal> {
    let top = whole(body, "top_logprobs", 0, 20)?;
    match (flag(body, "logprobs")?, top) {
        (false, Some(_)) => Err(invalid("top_logprobs", "'logprobs' must be true where 'top_logprobs' is set")),
        (false, None) => Ok(None),
        (true, top) => Ok(Some(top.unwrap_or(0))),
    }
}

fn flag(body: &Map<String, Value>, name: &'static str) -> Result<bool, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(on)) => Ok(*on),
        Some(_) => Err(invalid(name, "expected a boolean")),
    }
}

fn whole(body: &Map<String, Value>, name: &'static str, least: u64, most: u64) -> Result<Option<usize>, Refusal> {
    let value = match body.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(value) => value.as_u64().filter(|value| (least..=most).contains(value)),
    };
    let value = value.and_then(|value| usize::try_from(value).ok());
    value.map(Some).ok_or_else(|| invalid(name, &format!("expected a whole number from {least} to {most}")))
}

fn invalid(param: &str, problem: &str) -> Refusal {
    Refusal::field(param, "invalid_value", format!("Invalid '{param}': {problem}."))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(body: &Value) -> String {
        let refusal = Ask::read(body.as_object().unwrap()).err().unwrap();
        let body: Value = serde_json::from_slice(&refusal.body()).unwrap();
        assert_eq!((refusal.status, &body["error"]["type"]), (400, &json!("invalid_request_error")));
        body["error"]["param"].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_is_wrong_is_named() {
        let hi = json!([{"role": "user", "content": "hi"}]);
        for (body, param) in [
            (json!({}), "messages"),
            (json!({"messages": []}), "messages"),
            (json!({"messages": "hi"}), "messages"),
            (json!({"messages": ["hi"]}), "messages[0]"),
            (json!({"messages": [{"role": "king", "content": "x"}]}), "messages[0].role"),
            (json!({"messages": [{"role": "user"}]}), "messages[0].content"),
            (json!({"messages": [{"role": "user", "content": 3}]}), "messages[0].content"),
            (json!({"messages": [{"role": "user", "content": [{}]}]}), "messages[0].content"),
            (json!({"messages": hi, "n": 0}), "n"),
            (json!({"messages": hi, "max_tokens": -1}), "max_tokens"),
            (json!({"messages": hi, "stop": ["a", "b", "c", "d", "e"]}), "stop"),
            (json!({"messages": hi, "top_logprobs": 2}), "top_logprobs"),
            (json!({"messages": hi, "stream": "yes"}), "stream"),
            (json!({"messages": hi, "tool_choice": "auto"}), "tool_choice"),
            (json!({"messages": hi, "tools": [{"type": "function", "function": {}}]}), "tools[0].function.name"),
            (json!({"messages": hi, "response_format": {"type": "xml"}}), "response_format.type"),
        ] {
            assert_eq!(refusal(&body), param, "{body}");
        }
    }

    #[test]
    fn parts_make_one_text_and_images_count() {
        let body = json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}}]}]});
        let ask = Ask::read(body.as_object().unwrap()).unwrap();
        assert_eq!((ask.last_user(), ask.turns[0].tokens), ("look", 3 + 1 + 85));
    }
}
